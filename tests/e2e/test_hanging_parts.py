"""A part hangs: requests that need it are refused in time, others go on, and all is well afterwards."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from chalicelib.operators.recount import Recount
from tests.e2e.conftest import Application, Stack, wait_until

# The longest that a request may take while one part hangs (docs/design.md), with a busy machine's margin.
LIMIT_SECONDS = 10
# Well under every limit of a part: nobody was asked.
AT_ONCE_SECONDS = 1

# What is asked, and the parts without which it is refused.
NEEDED = {
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
    """Sends each request of `NEEDED` once."""

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
        """The answer, and how long it took."""
        method, path, body = self._requests[name]
        started = time.monotonic()
        answer = self._http.request(method, path, json=body)
        return answer, time.monotonic() - started

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
    found = f"{application.path}/search?q=hello"
    wait_until("the search", lambda: application.get(found)["total"] == 1)
    return chat


@pytest.fixture
def client(stack: Stack, application: Application, chat: str) -> Iterator[Client]:
    client = Client(stack.base_url, application, chat)
    yield client
    client.close()


@pytest.mark.parametrize("part", ["redis", "mysql", "opensearch"])
def test_a_part_that_hangs_refuses_in_time_what_needs_it(
    stack: Stack, application: Application, chat: str, client: Client, part: str
) -> None:
    accepted = 1
    with hanging(stack, part):
        for name, needed in NEEDED.items():
            answer, seconds = client.send(name)
            assert seconds < LIMIT_SECONDS, name
            assert (answer.status_code == 503) == (part in needed), f"{name}: {answer.text}"
            assert answer.status_code < 300 or int(answer.headers["Retry-After"]) >= 1
            accepted += name == "post a message" and answer.status_code == 202
        wait_until(
            "the circuit to open",
            lambda: refused_at_once(client, next(n for n in NEEDED if part in NEEDED[n])),
        )
        answer, seconds = client.send("ready")
        assert seconds < LIMIT_SECONDS
        assert answer.status_code == 503
        assert [n for n, s in answer.json()["parts"].items() if s != "ok"] == [part]
    wait_until("the API", lambda: client.send("ready")[0].status_code == 200, LIMIT_SECONDS)
    for name in NEEDED:
        assert client.send(name)[0].status_code < 300, name
    wait_until("the rest", lambda: application.get(chat)["messages_count"] > accepted)
    assert Recount(stack.store.database).recount(application.token) == []


def refused_at_once(client: Client, name: str) -> bool:
    answer, seconds = client.send(name)
    assert seconds < LIMIT_SECONDS
    return answer.status_code == 503 and seconds < AT_ONCE_SECONDS
