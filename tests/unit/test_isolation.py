"""No tenant sees, changes or counts another's data: every route, every kind of credential, on fakes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chalice.test import Client

from app import app
from chalicelib.domain.auth import derive_key
from chalicelib.domain.paging import PageRequest
from chalicelib.entrypoints.http import endpoint
from chalicelib.entrypoints.http.endpoint import Operation
from tests.fakes.ports import SETTINGS, FakePorts
from tests.isolation.foreign_credentials import (
    UNKNOWN_TOKEN,
    TenantKey,
    foreign_credentials,
    is_allowed,
)
from tests.isolation.requests import EXISTING, MISSING, Request, lists, of_tenants, request_of

Response = tuple[int, Any, dict[str, str]]

VICTIM, OTHER = (
    TenantKey(token, derive_key(SETTINGS.master_key, token, 1)) for token in ("a" * 30, "b" * 30)
)
NOW = FakePorts().clock.now_ms() / 1000
STRANGERS = foreign_credentials(VICTIM, OTHER, SETTINGS.admin_key, NOW)
KEY = "a key that the victim used"


class Api:
    """Requests to the application on fakes."""

    def __init__(self, client: Client, ports: FakePorts) -> None:
        self._client, self.ports = client, ports

    def __call__(self, request: Request, credential: str, **headers: str) -> Response:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        sent |= {"Authorization": f"Bearer {credential}"} if credential else {}
        sent |= {"Content-Type": "application/json"}
        body = b"" if request.body is None else json.dumps(request.body).encode()
        response = self._client.http.request(request.method, request.path, headers=sent, body=body)
        return response.status_code, response.json_body, response.headers

    def data(self) -> list[Any]:
        """Everything that is stored or queued, of all tenants."""
        ports = self.ports
        return [
            {
                k: getattr(v, "scores", v)
                for k, v in ports.sequencer.server.dataset.copy().values.items()
            },
            {k: v for k, v in ports.queues.sent.items() if v},
            dict(ports.index.documents),
            [ports.store.applications.get_application(owner.token) for owner in (VICTIM, OTHER)],
            [ports.store.chats.get_chat(VICTIM.token, n) for n in (1, 2)],
            ports.store.read_markers.list_read_markers(
                VICTIM.token, "ann", PageRequest(limit=10), 10
            ),
        ]


@pytest.fixture
def api(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """Two tenants. The victim has two chats, with messages and a reader in both; the other has one."""
    monkeypatch.setattr(endpoint, "request_ports", lambda: ports)
    with Client(app) as client:
        api = Api(client, ports)
        for owner, chats, text in ((VICTIM, 2, "needle"), (OTHER, 1, "hay")):
            ports.store.applications.create_application(
                owner.token, "a", "2026-01-01T00:00:00.000Z"
            )
            path = f"/applications/{owner.token}/chats"
            for chat in range(1, chats + 1):
                assert api(Request("POST", path, {"title": text}), owner.key)[0] == 202
                for i in range(2):
                    post = Request("POST", f"{path}/{chat}/messages", {"body": f"{text} {i}"})
                    key = (
                        {"Idempotency_Key": KEY} if (owner, i) == (VICTIM, 0) and chat == 1 else {}
                    )
                    assert api(post, owner.key, **key)[0] == 202
        ports.persist()
        for chat in (1, 2):
            path = f"/applications/{VICTIM.token}/chats/{chat}/readers/ann"
            assert api(Request("PUT", path, {"number": 1}), VICTIM.key)[0] == 200
        yield api


def alike(response: Response) -> Any:
    """The parts of a response that must not depend on whether the resource exists."""
    status, body, headers = response
    return status, body, sorted(headers.items())


@pytest.mark.parametrize("operation", of_tenants(), ids=lambda o: f"{o.method} {o.path}")
def test_a_stranger_sees_nothing_and_changes_nothing(api: Api, operation: Operation) -> None:
    before = api.data()
    existing, missing = (request_of(operation, VICTIM.token, v) for v in (EXISTING, MISSING))
    nowhere = request_of(operation, UNKNOWN_TOKEN, EXISTING)
    for name, stranger in STRANGERS.items():
        if is_allowed(operation, name):
            continue
        for headers in ({}, {"Idempotency_Key": KEY}):
            response = api(existing, stranger.credential, **headers)
            assert response[0] == stranger.status, name
            assert "needle" not in json.dumps(response[1]), name
            others = [missing] if stranger.is_own else [missing, nowhere]
            for other in others:
                assert alike(api(other, stranger.credential, **headers)) == alike(response), name
    assert api.data() == before


@pytest.mark.parametrize("operation", lists(), ids=lambda o: f"{o.method} {o.path}")
def test_a_cursor_of_another_tenant_shows_nothing_of_it(api: Api, operation: Operation) -> None:
    request = request_of(operation, VICTIM.token, EXISTING)
    separator = "&" if "?" in request.path else "?"
    status, page, _ = api(Request("GET", f"{request.path}{separator}limit=1"), VICTIM.key)
    assert status == 200
    assert page["next"]
    path = page["next"].replace(VICTIM.token, OTHER.token)
    status, seen, _ = api(Request("GET", path), OTHER.key)
    assert status == 200
    assert "needle" not in json.dumps(seen["items"])
    assert seen.get("total", 0) == 0
    assert api(Request("GET", page["next"]), OTHER.key)[0] == 401


def test_each_tenant_has_its_own_numbers(api: Api) -> None:
    """The victim has a chat 2. The other tenant has none, until it creates its own."""
    path = f"/applications/{OTHER.token}/chats"
    assert api(Request("GET", f"{path}/2"), OTHER.key)[0] == 404
    assert api(Request("POST", f"{path}/2/messages", {"body": "x"}), OTHER.key)[0] == 404
    made = api(Request("POST", path, {"title": "own"}), OTHER.key)[1]
    assert (made["number"], made["title"]) == (2, "own")


def test_an_idempotency_key_of_another_tenant_is_a_new_request(api: Api) -> None:
    path = f"/applications/{OTHER.token}/chats/1/messages"
    status, made, _ = api(
        Request("POST", path, {"body": "needle 0"}), OTHER.key, Idempotency_Key=KEY
    )
    assert (status, made["number"]) == (202, 3)


def test_a_search_finds_and_counts_only_messages_of_its_tenant(api: Api) -> None:
    for path in ("search", "chats/1/messages/search"):
        for q in ("needle", "hay"):
            request = Request("GET", f"/applications/{OTHER.token}/{path}?q={q}")
            assert api(request, OTHER.key)[1]["total"] == (2 if q == "hay" else 0)
