"""The Lambda Runtime API for one process: the process requests an invocation and posts its outcome."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/2018-06-01/runtime/"


@dataclass
class Invocation:
    """One invocation and, when it has ended, its outcome."""

    request_id: str
    function_arn: str
    trace_id: str
    payload: bytes
    deadline_ms: int
    result: bytes = b""
    is_error: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def finish(self, result: bytes, is_error: bool) -> None:
        """Set the outcome. A second outcome is ignored."""
        if not self.done.is_set():
            self.result, self.is_error = result, is_error
            self.done.set()


def failure(kind: str, message: str) -> bytes:
    """An error in Lambda's format."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


class RuntimeApi:
    """Serves invocations to one process, one at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: Invocation | None = None
        self._running: Invocation | None = None
        self._closed = False
        self.ready_for_work = threading.Event()
        self.init_error: bytes | None = None
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 5.0}, daemon=True
        ).start()

    def submit(self, invocation: Invocation) -> None:
        """Set the next invocation of the process."""
        with self._changed:
            self._waiting = self._running = invocation
            self._changed.notify_all()

    def next(self) -> Invocation | None:
        """Wait for the next invocation; None if the API was closed."""
        self.ready_for_work.set()
        with self._changed:
            while self._waiting is None and not self._closed:
                self._changed.wait()
            invocation, self._waiting = self._waiting, None
            return None if self._closed else invocation

    def finish(self, request_id: str, result: bytes, is_error: bool) -> bool:
        """Set the outcome of the running invocation. Returns False if another one was meant."""
        running = self._running
        if running is None or running.request_id != request_id:
            return False
        running.finish(result, is_error)
        return True

    def close(self, reason: bytes) -> None:
        """Fail the running invocation, since the process has ended, and end every wait."""
        with self._changed:
            self._closed = True
            if self._running is not None:
                self._running.finish(reason, is_error=True)
            self._changed.notify_all()
        self.ready_for_work.set()
        threading.Thread(target=self._shut_down, daemon=True).start()

    def _shut_down(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: RuntimeApi


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path != PREFIX + "invocation/next":
            return self._respond(404, b"{}")
        invocation = self.server.api.next()
        if invocation is None:
            self.close_connection = True
            return self._respond(410, b"{}")
        # awslambdaric crashes without a message if one of the optional headers is missing.
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Invocation-Id": invocation.request_id,
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
            "Lambda-Runtime-Client-Context": "",
            "Lambda-Runtime-Cognito-Identity": "",
            "Lambda-Runtime-Aws-Tenant-Id": "",
        }
        return self._respond(200, invocation.payload, headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix(PREFIX)
        if path == "init/error":
            self.server.api.init_error = body
            return self._respond(202, b'{"status":"OK"}')
        _, _, rest = path.partition("invocation/")
        request_id, _, outcome = rest.partition("/")
        known = self.server.api.finish(request_id, body, is_error=outcome == "error")
        return self._respond(202 if known else 400, b'{"status":"OK"}')

    def _respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        # The process was killed. `close` fails its invocation.
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the function has its own log."""


def now_ms() -> int:
    """The wall clock in milliseconds, for deadlines."""
    return int(time.time() * 1000)
