"""The product as processes on this machine: four of the API, one for each worker, one for the schedule.

A process of the API handles one request at a time, as on Lambda. Requests wait at one socket, and the next
process that is free takes the next request. The log of the functions goes to /dev/null.
"""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from chalice.app import ScheduledEventConfig

from infra.local.install import valkey_server
from tests.bench.harness import Harness
from tests.bench.pipeline import receive
from tests.contract.cluster import free_port

PROCESSES_OF_THE_API = 4
_UNLIMITED = {"ORDINAL_APPLICATION_RATE": "10000000", "ORDINAL_USER_RATE": "10000000"}
# What Lambda gives a worker in one invocation at most.
_MOST_RECORDS, _WINDOW_SECONDS = 500, 1.0
_PAUSE_SECONDS = 0.05
_MOST_WAIT_SECONDS = 60.0
_TIMEOUT_SECONDS = 30
_SCHEDULE_SECONDS = 20
_BACKLOG = 1_000
_CONTEXT = get_context("spawn")

WORKERS = {
    "inbox": "accept_inbox",
    "chats": "persist_chats",
    "messages": "persist_messages",
    "search": "index_messages",
}

type Event = dict[str, Any]
type Reply = dict[str, Any]


class Invocation:
    """The context object that Lambda gives to a function. Its time runs out."""

    aws_request_id = "0" * 32
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:ordinal-bench"

    def __init__(self, function_name: str) -> None:
        self.function_name = function_name
        self._ends_at = time.monotonic() + _TIMEOUT_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


class Product:
    """The running product. `send` has the rate limits of `environment`, and `send_unlimited` has none."""

    def __init__(self, harness: Harness, environment: Mapping[str, str], folder: Path) -> None:
        self._harness = harness
        self._environment = {**harness.environment, **environment}
        self._processes: dict[str, BaseProcess] = {}
        self.socket, self._unlimited = str(folder / "api"), str(folder / "unlimited")

    def start(self) -> None:
        listener = _listen(self.socket)
        for number in range(PROCESSES_OF_THE_API):
            self._start(f"api {number}", _serve, listener, self._environment)
        self._start(
            "unlimited", _serve, _listen(self._unlimited), {**self._environment, **_UNLIMITED}
        )
        for queue in WORKERS:
            self._start(queue, _work, self._harness.description, self._environment, queue)
        self._start("schedule", _repeat_schedule, self._environment)

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join()

    def try_unlimited(self, event: Event) -> Reply:
        """The response without a rate limit."""
        return send(self._unlimited, json.dumps(event).encode())

    def send_unlimited(self, event: Event) -> Any:
        """The body of the response. Any other response than a success is an error of the benchmark."""
        reply = self.try_unlimited(event)
        assert reply["statusCode"] < 300, reply
        return json.loads(reply["body"])

    def wait_for_empty_queues(self, paused: str) -> None:
        """Wait until the workers have taken what is in the queues, except for one that stands still."""
        until = time.monotonic() + _MOST_WAIT_SECONDS
        while any(map(self._has_records, WORKERS.keys() - {paused})):
            if time.monotonic() > until:
                return
            time.sleep(_PAUSE_SECONDS)

    def _has_records(self, queue: str) -> bool:
        url, name = self._harness.queue_urls[queue], "ApproximateNumberOfMessages"
        attributes = self._harness.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(attributes["Attributes"][name]) > 0

    @contextmanager
    def paused(self, queue: str) -> Iterator[None]:
        """The worker of a queue takes no records while the context is open."""
        pid = self._processes[queue].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _start(self, name: str, target: Callable[..., None], *args: Any) -> None:
        process = self._processes[name] = _CONTEXT.Process(target=target, args=args, daemon=True)
        process.start()


@contextmanager
def running_product(harness: Harness, environment: Mapping[str, str]) -> Iterator[Product]:
    with tempfile.TemporaryDirectory() as folder:
        product = Product(harness, environment, Path(folder))
        try:
            product.start()
            yield product
        finally:
            product.stop()


@contextmanager
def running_valkey(max_bytes: int) -> Iterator[str]:
    """A server of its own that evicts nothing. The context gives its URL."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "dir": folder,
            "save": "",
            "maxmemory": max_bytes,
            "maxmemory-policy": "noeviction",
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        server = subprocess.Popen([str(valkey_server()), *words], stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def send(address: str, event: bytes) -> Reply:
    """The response to one event of API Gateway, as JSON. The connection carries one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(event)
        connection.shutdown(socket.SHUT_WR)
        reply: Reply = json.loads(_read_all(connection))
        return reply


def _listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(_BACKLOG)
    return listener


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def _serve(listener: socket.socket, environment: Mapping[str, str]) -> None:
    with _silent(environment):
        from app import app

        while True:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                event = json.loads(_read_all(connection))
                reply = app(event, Invocation("api_handler"))
                connection.sendall(json.dumps(reply).encode())


def _work(description: Path, environment: Mapping[str, str], queue: str) -> None:
    harness = Harness(description)
    with _silent(environment):
        from chalicelib.entrypoints import workers

        handler: Any = getattr(workers, WORKERS[queue])
        while True:
            if not (records := _gather(harness, queue)):
                time.sleep(_PAUSE_SECONDS)
                continue
            result = handler({"Records": records}, Invocation(WORKERS[queue]))
            to_retry = {item["itemIdentifier"] for item in result["batchItemFailures"]}
            done = [record for record in records if record["messageId"] not in to_retry]
            _delete(harness, queue, done)


def _gather(harness: Harness, queue: str) -> list[dict[str, Any]]:
    """A batch, as the poller of Lambda gathers it."""
    records: list[dict[str, Any]] = []
    until = time.monotonic() + _WINDOW_SECONDS
    while len(records) < _MOST_RECORDS and time.monotonic() < until:
        event = receive(harness, queue)
        if event is None:
            break
        records += event["Records"]
    return records


def _delete(harness: Harness, queue: str, records: list[dict[str, Any]]) -> None:
    for first in range(0, len(records), 10):
        entries: list[Any] = [
            {"Id": str(i), "ReceiptHandle": record["receiptHandle"]}
            for i, record in enumerate(records[first : first + 10])
        ]
        harness.sqs.delete_message_batch(QueueUrl=harness.queue_urls[queue], Entries=entries)


def _repeat_schedule(environment: Mapping[str, str]) -> None:
    """Invoke everything that has a schedule, more often than the product does."""
    with _silent(environment):
        from app import app

        names = ("version", "account", "region", "detail-type", "source", "time", "id")
        event = {**dict.fromkeys(names, "0"), "detail": {}, "resources": []}
        functions = [
            app.handler_map[source.name]
            for source in app.event_sources
            if isinstance(source, ScheduledEventConfig)
        ]
        while True:
            for function in functions:
                with suppress(
                    Exception
                ):  # a failure is in the log of the function, and is tried again
                    function(event, Invocation("schedule"))
            time.sleep(_SCHEDULE_SECONDS)


@contextmanager
def _silent(environment: Mapping[str, str]) -> Iterator[None]:
    os.environ.update(environment)
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
        yield
