"""The real application on fakes as an httpx transport, for the tests of chatctl."""

import threading
from collections.abc import Callable, Sequence

import httpx
import pytest
from chalice.test import Client as ChaliceClient
from msgspec.structs import replace
from ordinal_client import Client

from app import app
from chalicelib.domain.auth import derive_key
from chalicelib.entrypoints.http import endpoint
from chatctl.api import RetryBudget
from chatctl.commands.import_ import fill_chats
from chatctl.progress import Progress
from chatctl.sources.base import Source
from tests.fakes.ports import SETTINGS, FakePorts

URL = "http://ordinal.test/stage"

# How a request fails: `before` it reaches the service, `after` it when only the response is lost, or with a
# status in place of the service's response.
Failure = str | int


class Service(httpx.BaseTransport):
    """Serves requests one at a time.

    `fail` returns how the n-th request (from 0) fails, `fail_posts` how the n-th batch fails.
    """

    def __init__(self, ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endpoint, "request_ports", lambda: ports)
        # The clock of the service stands still, so its buckets do not refill.
        ports.settings = replace(ports.settings, application_rate=20_000)
        self.ports = ports
        self.requests: list[httpx.Request] = []
        self.fail: Callable[[int], Failure | None] = lambda n: None
        self.fail_posts: Callable[[int], Failure | None] = lambda n: None
        self._client = ChaliceClient(app)
        self._lock = threading.Lock()
        self._posts = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        failure = self._failure(request)
        with self._lock:
            self.requests.append(request)
            if failure == "before":
                raise httpx.ConnectError("made up", request=request)
            if isinstance(failure, int):
                return httpx.Response(failure, headers={"Retry-After": "7"}, json={"message": "no"})
            response = self._serve(request)
            if failure == "after":
                raise httpx.ReadTimeout("made up", request=request)
            return response

    def _failure(self, request: httpx.Request) -> Failure | None:
        failure = self.fail(len(self.requests))
        if request.url.path.endswith("/batch"):
            self._posts += 1
            failure = failure or self.fail_posts(self._posts - 1)
        return failure

    def _serve(self, request: httpx.Request) -> httpx.Response:
        response = self._client.http.request(
            request.method,
            request.url.raw_path.decode().removeprefix("/stage"),
            headers=dict(request.headers),
            body=request.read(),
        )
        headers = {k: v for k, v in response.headers.items() if isinstance(v, str)}
        return httpx.Response(response.status_code, headers=headers, content=response.body)

    def keys_of_batches(self) -> list[str]:
        """The Idempotency-Keys of all batches, in the order of sending."""
        batches = [r for r in self.requests if r.url.path.endswith("/batch")]
        return [r.headers["Idempotency-Key"] for r in batches]


class Ports(FakePorts):
    """Leases have their real size, because batches have theirs."""

    lease_window = 1_000


class Operator:
    """An operator at a command line, with an application.

    Pauses take no time, and the workers run in each of them. `pauses` has their lengths.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service = Service(Ports(), monkeypatch)
        self.token = "0123456789abcdef0123456789abcd"
        self.service.ports.store.applications.create_application(
            self.token, "an application", "2026-01-01T00:00:00.000Z"
        )
        self.key = derive_key(SETTINGS.master_key, self.token, 1)
        self.pauses: list[float] = []
        self.progress = Progress(0, 0)
        self._now = 0.0

    def chatctl_client(self, limit_seconds: float = 60) -> Client:
        """The client as chatctl opens it."""
        self.budget = RetryBudget(limit_seconds, clock=lambda: self._now, wait=self._wait)
        return Client(URL, self.key, self.token, retries=self.budget, transport=self.service)

    def client(self) -> Client:
        """The same credential without chatctl."""
        return Client(URL, self.key, self.token, transport=self.service)

    def _wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self._now += seconds
        self.service.ports.persist()
        return False

    def import_(self, sources: Sequence[Source], parallel: int = 1) -> list[str]:
        """One run of `chatctl import`; `progress` has its counts."""
        self.progress = Progress(len(sources), 0)
        with self.chatctl_client() as client:
            return fill_chats(client, sources, parallel, self.budget, self.progress)

    def chat(self, number: int) -> list[tuple[int, str, str | None]]:
        """Number, body and sender of all messages of a chat."""
        with self.chatctl_client() as client:
            return [(m.number, m.body, m.sender) for m in client.messages(number, after=0)]

    def titles(self) -> dict[str | None, int]:
        with self.chatctl_client() as client:
            return {chat.title: chat.number for chat in client.chats()}
