"""`python -m tests.bench.aws_call`: what a signed call to SQS costs with the own client, and with libraries.

The clients are `chalicelib.adapters.aws`, and `botocore.auth.SigV4Auth` with `urllib3`, which the package of
the functions contains. They send the same SendMessage to a stub on this machine, by turns. The figures stand
in `docs/decisions/0007-own-signer-and-connection.md`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
ROUNDS, CALLS_PER_ROUND, STARTS = 20, 100, 15
BODY = {"QueueUrl": "https://sqs/1/messages", "MessageBody": "x" * 400, "MessageGroupId": "a" * 30}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "AWS_SESSION_TOKEN": "t" * 400,
    "AWS_DEFAULT_REGION": "eu-west-1",
    "ORDINAL_REDIS_URL": "redis://127.0.0.1:1/0",
    "ORDINAL_MYSQL_URL": "mysql://a:b@127.0.0.1:1/a",
}
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"
)
# What a process of the API function loads before its first call to SQS.
STARTED = """
import sys, time, resource
started, used = time.perf_counter(), time.process_time()
import app
from chalicelib.bootstrap import request_ports
for part in ("clock", "sequencer", "store", "queues", "metrics"):
    getattr(request_ports(), part)
from tests.bench.aws_call import BODY, {client}
{client}()(BODY)
print(time.perf_counter() - started, time.process_time() - used, len(sys.modules),
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "AmazonSQS.SendMessage",
}

type Call = Callable[[dict[str, Any]], object]


def own_client() -> Call:
    """The client of `chalicelib.adapters.aws`."""
    from chalicelib.adapters.aws import Service

    service = Service("sqs", "AmazonSQS.", json="1.0")
    return lambda request: service.call("SendMessage", request)


def own_signer_and_urllib3() -> Call:
    """The same call with the own signer, on a connection of urllib3."""
    from chalicelib.adapters.aws import Signer

    key, secret, token = (ENVIRONMENT[name] for name in CREDENTIALS)
    signer = Signer("sqs", ENVIRONMENT["AWS_DEFAULT_REGION"], key, secret, token)
    post, host = _urllib3()

    def call(request: dict[str, Any]) -> object:
        body = msgspec.json.encode(request)
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return msgspec.json.decode(post(body, signer.signed({**HEADERS, "Host": host}, body, at)))

    return call


def libraries() -> Call:
    """The same call with botocore's signer, on a connection of urllib3."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    credentials = Credentials(*(ENVIRONMENT[name] for name in CREDENTIALS))
    signer = SigV4Auth(credentials, "sqs", ENVIRONMENT["AWS_DEFAULT_REGION"])
    post, host = _urllib3()

    def call(request: dict[str, Any]) -> object:
        body = msgspec.json.encode(request)
        signed = AWSRequest("POST", f"http://{host}/", dict(HEADERS), body)
        signer.add_auth(signed)
        return msgspec.json.decode(post(body, dict(signed.headers.items())))

    return call


def _urllib3() -> tuple[Callable[[bytes, dict[str, str]], bytes], str]:
    import urllib3

    url = os.environ["AWS_ENDPOINT_URL"]
    timeout = urllib3.Timeout(connect=1.0, read=3.0)
    pool = urllib3.connection_from_url(url, timeout=timeout, retries=False)
    return lambda body, headers: pool.urlopen("POST", "/", body, headers).data, url[
        len("http://") :
    ]


def serve(port_file: int) -> None:
    """Answer every request with 200. One process serves one connection at a time."""
    listening = socket.create_server(("127.0.0.1", 0))
    os.write(port_file, b"%d\n" % listening.getsockname()[1])
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) >= _content_length(head):
                received = b""
                connection.sendall(RESPONSE)


def _content_length(head: bytes) -> int:
    [length] = [
        line.partition(b":")[2]
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    return int(length)


def _cpu_us(call: Call) -> float:
    before = time.process_time()
    for _ in range(CALLS_PER_ROUND):
        call(BODY)
    return (time.process_time() - before) / CALLS_PER_ROUND * 1e6


def _start(client: str) -> list[float]:
    with _Stub() as environment:
        done = subprocess.run(
            [sys.executable, "-c", STARTED.format(client=client)],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return [float(figure) for figure in done.stdout.split()]


class _Stub:
    """A stub in a process of its own, and the environment that points to it."""

    def __enter__(self) -> dict[str, str]:
        read, write = os.pipe()
        code = f"from tests.bench.aws_call import serve; serve({write})"
        self._process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as port_file:
            port = port_file.readline().strip()
        return {**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    clients = {
        "own signer and connection": own_client,
        "own signer, urllib3": own_signer_and_urllib3,
        "botocore's signer, urllib3": libraries,
    }
    cpu: dict[str, list[float]] = {name: [] for name in clients}
    with ExitStack() as stubs:
        calls: dict[str, Call] = {}
        for name, client in clients.items():
            os.environ.update(stubs.enter_context(_Stub()))
            calls[name] = client()
            calls[name](BODY)  # opens the connection
        for _ in range(ROUNDS):
            for name, call in calls.items():
                cpu[name].append(_cpu_us(call))
    print(
        f"{ROUNDS * CALLS_PER_ROUND:,} calls of each, by turns: CPU time a call, median of rounds"
    )
    for name, figures in cpu.items():
        print(f"  {name:<26} {median(figures):6.0f} µs ({min(figures):.0f} to {max(figures):.0f})")
    print(f"{STARTS} starts of each, by turns: the API function up to its first call, medians")
    starts: dict[str, list[list[float]]] = {name: [] for name in clients}
    for _ in range(STARTS):
        for name, client in clients.items():
            starts[name].append(_start(client.__name__))
    for name, started in starts.items():
        wall, used, modules, kilobytes = (median(column) for column in zip(*started, strict=True))
        print(
            f"  {name:<26} {wall * 1000:5.0f} ms, {used * 1000:5.0f} ms CPU, {modules:4.0f} modules,"
            f" {kilobytes / 1024:5.1f} MiB"
        )


if __name__ == "__main__":
    main()
