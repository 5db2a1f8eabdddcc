"""No tenant reads, changes or counts the data of another.

The tests send every kind of credential to every route of the deployed stack.
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from chalicelib.entrypoints.http.endpoint import Operation
from tests.e2e.conftest import Application, Stack, wait_until
from tests.isolation.foreign_credentials import (
    UNKNOWN_TOKEN,
    ForeignCredential,
    TenantKey,
    foreign_credentials,
    is_allowed,
)
from tests.isolation.requests import EXISTING, MISSING, Request, lists, of_tenants, request_of

KEY = "a key that the victim used"


class Tenants:
    """A victim with two chats of two messages, and another application with one."""

    def __init__(self, stack: Stack) -> None:
        self._client = httpx.Client(base_url=stack.base_url, timeout=60)
        self.victim, self.other = (stack.new_application(name) for name in ("victim", "other"))
        # New words for each run, so that the search has no hits from other runs.
        self.secret, self.hay = f"needle{secrets.token_hex(4)}", f"hay{secrets.token_hex(4)}"
        for application, chats, word in ((self.victim, 2, self.secret), (self.other, 1, self.hay)):
            for _ in range(chats):
                chat = application.new_chat(word)
                for body in (word, f"{word} again"):
                    application.post(f"{chat}/messages", {"body": body})
        keyed = {"body": self.secret}
        self.victim.post(f"{self.victim.path}/chats/1/messages", keyed, **{"Idempotency-Key": KEY})
        for application, word, count in ((self.victim, self.secret, 5), (self.other, self.hay, 2)):
            search = f"{application.path}/search?q={word}"
            wait_until("the index", lambda a=application, s=search, c=count: a.get(s)["total"] == c)  # type: ignore[misc]
        for n in (1, 2):
            marker = f"{self.victim.path}/chats/{n}/readers/ann"
            assert self.victim("PUT", marker, {"number": 1}).status_code == 200
        victim, other = (TenantKey(a.token, a.key) for a in (self.victim, self.other))
        self.foreign: dict[str, ForeignCredential] = foreign_credentials(
            victim, other, stack.file["admin_key"], time.time()
        )

    def send(self, request: Request, credential: str) -> httpx.Response:
        headers = {"Idempotency-Key": KEY}
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        return self._client.request(
            request.method, request.path, json=request.body, headers=headers
        )

    def content(self) -> list[Any]:
        """What the victim can read of its own application."""
        chats = f"{self.victim.path}/chats"
        paths = (self.victim.path, chats, f"{chats}/1/messages", f"{chats}/2/messages")
        return [self.victim.get(path) for path in paths]

    def close(self) -> None:
        for client in (self._client, self.victim, self.other):
            client.close()


@pytest.fixture(scope="module")
def tenants(stack: Stack) -> Iterator[Tenants]:
    tenants = Tenants(stack)
    yield tenants
    tenants.close()


def comparable(response: httpx.Response) -> Any:
    """The parts of a response that must be the same for existing and for missing resources."""
    headers = ("content-type", "www-authenticate", "retry-after", "etag")
    return response.status_code, response.text, [response.headers.get(name) for name in headers]


@pytest.mark.parametrize("operation", of_tenants(), ids=lambda o: f"{o.method} {o.path}")
def test_a_stranger_can_neither_read_nor_change_nor_detect_anything(
    tenants: Tenants, operation: Operation
) -> None:
    before = tenants.content()
    token = tenants.victim.token
    existing, missing = (request_of(operation, token, values) for values in (EXISTING, MISSING))
    nowhere = request_of(operation, UNKNOWN_TOKEN, EXISTING)
    for name, stranger in tenants.foreign.items():
        if is_allowed(operation, name):
            continue
        response = tenants.send(existing, stranger.credential)
        assert response.status_code == stranger.status, (name, response.text)
        assert tenants.secret not in response.text, name
        for other in [missing] if stranger.is_own else [missing, nowhere]:
            other_response = tenants.send(other, stranger.credential)
            assert comparable(other_response) == comparable(response), name
    assert tenants.content() == before


@pytest.mark.parametrize("operation", lists(), ids=lambda o: f"{o.method} {o.path}")
def test_a_cursor_of_another_tenant_shows_nothing_of_it(
    tenants: Tenants, operation: Operation
) -> None:
    path = request_of(operation, tenants.victim.token, EXISTING).path.replace(
        "needle", tenants.secret
    )
    page = tenants.victim.get(f"{path}{'&' if '?' in path else '?'}limit=1")
    assert page["next"]
    seen = tenants.other.get(page["next"].replace(tenants.victim.token, tenants.other.token))
    assert tenants.secret not in json.dumps(seen["items"])
    assert seen.get("total", 0) == 0
    assert tenants.send(Request("GET", page["next"]), tenants.other.key).status_code == 401


def test_an_idempotency_key_of_another_tenant_is_a_new_request(tenants: Tenants) -> None:
    path = f"{tenants.other.path}/chats/1/messages"
    response = tenants.send(Request("POST", path, {"body": "own"}), tenants.other.key)
    assert (response.status_code, response.json()["number"]) == (202, 3)


def test_a_key_that_was_replaced_without_overlap_is_refused_at_once(stack: Stack) -> None:
    application: Application = stack.new_application("replaced")
    newer = application.post(f"{application.path}/keys", {"overlap_seconds": 0})["secret_key"]
    assert application("GET", f"{application.path}/chats").status_code == 401
    with httpx.Client(base_url=stack.base_url, timeout=60) as client:
        for key, status in ((newer, 200), (application.key, 401)):
            headers = {"Authorization": f"Bearer {key}"}
            response = client.get(f"{application.path}/chats", headers=headers)
            assert response.status_code == status
    application.close()
