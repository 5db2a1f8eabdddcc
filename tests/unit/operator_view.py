"""The functions through Chalice's test client, on fakes, and their log."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from chalice.local import LambdaContext
from chalice.test import Client, HTTPResponse

from app import app
from chalicelib.domain.auth import derive_key
from chalicelib.entrypoints import schedules, workers
from chalicelib.entrypoints.http import endpoint
from chalicelib.entrypoints.log import logger
from tests.fakes.ports import SETTINGS, FakePorts

TOKEN = "0123456789abcdef0123456789abcd"
KEY = derive_key(SETTINGS.master_key, TOKEN, 1)
LAG_MS = 1_500
TASKS = ("measure_backlog", "repair_pending", "purge_deleted", "release_idle_leases")
WORKERS = {"chats": "persist_chats", "messages": "persist_messages", "search": "index_messages"}


class Functions:
    """Invokes the functions and reads their log."""

    def __init__(self, client: Client, ports: FakePorts, stream: io.StringIO) -> None:
        self._client = client
        self.ports = ports
        self._stream = stream

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        """The status of the response to a request of the tenant."""
        status: int = self.send(method, f"/applications/{TOKEN}{path}", body, **headers).status_code
        return status

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> HTTPResponse:
        """The response to a request of the tenant."""
        sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
        data = b"" if body is None else json.dumps(body).encode()
        return self._client.http.request(method, path, headers=sent, body=data)

    def work(self, queue: str, *bodies: str) -> Any:
        """Invoke the queue's worker with these records, or the queued ones, sent `LAG_MS` ago."""
        event = self._client.events.generate_sqs_event(
            list(bodies) or self.ports.queues.take(queue)
        )
        for record in event["Records"]:
            record["attributes"]["SentTimestamp"] = str(self.ports.clock.now_ms() - LAG_MS)
        return self._client.lambda_.invoke(WORKERS[queue], event).payload

    def minute(self) -> None:
        """Run each task of the schedule once."""
        for task in TASKS:
            self.run(task)

    def run(self, task: str) -> Any:
        """Run one task of the schedule."""
        event = self._client.events.generate_cw_event("aws.events", "", {}, [])
        return self._client.lambda_.invoke(task, event).payload

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """The lines of the log so far, or those with a message."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if message in (None, line["message"])]


@contextmanager
def operated(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """The functions, on these ports."""
    ports.store.applications.create_application(TOKEN, "an application", "2026-01-01T00:00:00.000Z")
    monkeypatch.setattr(endpoint, "request_ports", lambda: ports)
    for module in (workers, schedules):
        monkeypatch.setattr(module, "worker_ports", lambda: ports)
    # Chalice's own context ends after three seconds.
    context = partial(LambdaContext, max_runtime_ms=60_000)
    monkeypatch.setattr("chalice.test.LambdaContext", context)
    stream = io.StringIO()
    previous = logger.logger_handler.setStream(stream)  # type: ignore[attr-defined]
    try:
        with Client(app) as client:
            yield Functions(client, ports, stream)
    finally:
        logger.logger_handler.setStream(previous)  # type: ignore[attr-defined]
