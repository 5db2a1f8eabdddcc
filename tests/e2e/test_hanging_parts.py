"""While a part hangs, requests that use it are refused in time, and other requests succeed.

All requests succeed when the part responds again.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from chalicelib.operators.recount import Recount
from tests.e2e.conftest import Application, Stack, wait_until

# How long a request may take while one part hangs (docs/design.md), with a margin for a busy machine.
LIMIT_SECONDS = 10
# Well below the time limit of each part. A response within this time did not wait for a part.
AT_ONCE_SECONDS = 1

# Each request, and the parts without which it is refused.
PARTS_OF = {
    "post a message": {"redis"},
    "edit a message": {"redis", "mysql"},
    "get a message": {"redis", "mysql"},
    "list messages": {"redis", "mysql"},
    "get the chat": {"redis", "mysql"},
    "post a chat": {"redis"},
    "search": {"redis", "opensearch"},
    "get the application": {"redis", "mysql"},
}


class Client:
    """Sends each request of `PARTS_OF` once."""

    def __init__(self, base_url: str, application: Application, chat: str) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {application.key}"},
            timeout=60,
        )
        self._requests = {
            "post a message": ("POST", f"{chat}/messages", {"body": "while it hangs"}),
            "edit a message": ("PATCH", f"{chat}/messages/1", {"body": "edited"}),
            "get a message": ("GET", f"{chat}/messages/1", None),
            "list messages": ("GET", f"{chat}/messages", None),
            "get the chat": ("GET", chat, None),
            "post a chat": ("POST", f"{application.path}/chats", {"title": "another"}),
            "search": ("GET", f"{application.path}/search?q=hello", None),
            "get the application": ("GET", application.path, None),
            "ready": ("GET", "/health/ready", None),
        }

    def send(self, name: str) -> tuple[httpx.Response, float]:
        """The response, and how long it took."""
        method, path, body = self._requests[name]
        started = time.monotonic()
        response = self._http.request(method, path, json=body)
        return response, time.monotonic() - started

    def close(self) -> None:
        self._http.close()


@contextmanager
def hanging(stack: Stack, part: str) -> Iterator[None]:
    pid = stack.file[part]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def chat(application: Application) -> str:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "hello"})
    wait_until("the chat", lambda: application.get(chat)["messages_count"] == 1)
    search = f"{application.path}/search?q=hello"
    wait_until("the search", lambda: application.get(search)["total"] == 1)
    return chat


@pytest.fixture
def client(stack: Stack, application: Application, chat: str) -> Iterator[Client]:
    client = Client(stack.base_url, application, chat)
    yield client
    client.close()


@pytest.mark.parametrize("part", ["redis", "mysql", "opensearch"])
def test_requests_that_use_a_part_that_hangs_are_refused_in_time(
    stack: Stack, application: Application, chat: str, client: Client, part: str
) -> None:
    accepted = 1
    with hanging(stack, part):
        for name, parts in PARTS_OF.items():
            response, seconds = client.send(name)
            assert seconds < LIMIT_SECONDS, name
            assert (response.status_code == 503) == (part in parts), f"{name}: {response.text}"
            assert response.status_code < 300 or int(response.headers["Retry-After"]) >= 1
            accepted += name == "post a message" and response.status_code == 202
        wait_until(
            "the circuit to open",
            lambda: refused_at_once(client, next(n for n in PARTS_OF if part in PARTS_OF[n])),
        )
        response, seconds = client.send("ready")
        assert seconds < LIMIT_SECONDS
        assert response.status_code == 503
        assert [n for n, s in response.json()["parts"].items() if s != "ok"] == [part]
    wait_until("the API", lambda: client.send("ready")[0].status_code == 200, LIMIT_SECONDS)
    for name in PARTS_OF:
        assert client.send(name)[0].status_code < 300, name
    wait_until("the rest", lambda: application.get(chat)["messages_count"] > accepted)
    assert Recount(stack.store.database).recount(application.token) == []


def refused_at_once(client: Client, name: str) -> bool:
    response, seconds = client.send(name)
    assert seconds < LIMIT_SECONDS
    return response.status_code == 503 and seconds < AT_ONCE_SECONDS
