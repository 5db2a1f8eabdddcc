"""Users and keys through the HTTP endpoints, on fakes: access, and the problems of those without access."""

import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from chalice.test import Client

from app import app
from chalicelib.domain.auth import Tenant, derive_key
from chalicelib.domain.times import rfc3339
from chalicelib.entrypoints.http import endpoint
from tests.fakes.ports import SETTINGS, FakePorts

Response = tuple[int, Any, dict[str, str]]


class Caller:
    """Requests with one credential."""

    def __init__(self, client: Client, path: str, credential: str) -> None:
        self._client, self._path, self.credential = client, path, credential

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        sent |= {
            "Authorization": f"Bearer {self.credential}",
            "Content-Type": "application/json",
        }
        data = b"" if body is None else json.dumps(body).encode()
        response = self._client.http.request(method, self._path + path, headers=sent, body=data)
        return response.status_code, response.json_body, response.headers


class Application:
    """An application with one chat, and callers with its credentials."""

    def __init__(self, ports: FakePorts, client: Client, token: str) -> None:
        self._ports, self._client, self.token = ports, client, token
        self.server = self.caller(self.key())
        assert self.server("POST", "/chats", {})[0] == 202

    def key(self, version: int = 1) -> str:
        return derive_key(SETTINGS.master_key, self.token, version)

    def caller(self, credential: str) -> Caller:
        return Caller(self._client, f"/applications/{self.token}", credential)

    def user(self, name: str = "ann", version: int = 1, **claims: Any) -> Caller:
        payload = {"sub": name, "exp": self._ports.clock.now_ms() // 1000 + 60, **claims}
        signed = jwt.encode(payload, self.key(version), headers={"kid": str(version)})
        return self.caller(signed)


@pytest.fixture
def application(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Application]:
    monkeypatch.setattr(endpoint, "request_ports", lambda: ports)
    with Client(app) as client:
        yield Application(ports, client, tenant.token)


MESSAGES = "/chats/1/messages"


def pointers(response: Response) -> list[str]:
    assert response[0] == 422
    return [violation["pointer"] for violation in response[1]["errors"]]


def test_a_user_is_the_sender_of_its_messages(application: Application) -> None:
    ann = application.user()
    assert ann("POST", MESSAGES, {"body": "hello"})[1]["sender"] == "ann"
    assert ann("POST", MESSAGES, {"body": "hello", "sender": "ann"})[1]["sender"] == "ann"
    assert ann("POST", f"{MESSAGES}/batch", {"messages": [{"body": "a"}, {"body": "b"}]})[0] == 202
    assert [m["sender"] for m in ann("GET", MESSAGES)[1]["items"]] == ["ann"] * 4


def test_another_sender_and_another_time_are_named_as_violations(application: Application) -> None:
    ann, time = application.user(), "2020-01-01T00:00:00Z"
    bad = {"body": " ", "sender": "bob", "created_at": time}
    assert pointers(ann("POST", MESSAGES, bad)) == ["/body", "/sender", "/created_at"]
    batch = {"messages": [{"body": "a"}, {"body": "b", "sender": "bob"}, {**bad, "body": "c"}]}
    assert pointers(ann("POST", f"{MESSAGES}/batch", batch)) == [
        "/messages/1/sender",
        "/messages/2/sender",
        "/messages/2/created_at",
    ]
    assert ann("GET", MESSAGES)[1]["items"] == []
    assert application.server("POST", MESSAGES, {**bad, "body": "imported"})[0] == 202


def test_a_user_edits_and_deletes_its_own_messages_only(application: Application) -> None:
    ann, bob = application.user(), application.user("bob")
    ann("POST", MESSAGES, {"body": "hello"})
    for method, body in (("PATCH", {"body": "x"}), ("DELETE", None)):
        status, problem, headers = bob(method, f"{MESSAGES}/1", body)
        assert (status, problem["type"]) == (403, "urn:ordinal:problem:forbidden")
        assert "WWW-Authenticate" not in headers
    assert ann("PATCH", f"{MESSAGES}/1", {"body": "edited"})[1]["sender"] == "ann"
    assert ann("DELETE", f"{MESSAGES}/1")[0] == 202


def test_metadata_that_the_server_wrote_changes_by_the_secret_key_only(
    application: Application, ports: FakePorts
) -> None:
    ann, server = application.user(), application.server
    ann("POST", MESSAGES, {"body": "hello", "metadata": {"by": "ann"}})
    assert ann("PATCH", f"{MESSAGES}/1", {"metadata": {"by": "ann again"}})[0] == 202
    assert server("PATCH", f"{MESSAGES}/1", {"metadata": {"flagged": True}})[0] == 202
    server("POST", MESSAGES, {"body": "from the server", "sender": "ann", "metadata": {"a": 1}})
    for persisted in (False, True):
        if persisted:
            ports.persist()
        for number in (1, 2):
            for body in ({"metadata": None}, {"body": "x", "metadata": {"flagged": False}}):
                status, problem, _ = ann("PATCH", f"{MESSAGES}/{number}", body)
                assert (status, problem["type"]) == (403, "urn:ordinal:problem:forbidden")
                assert "metadata" in problem["detail"]
    edited = ann("PATCH", f"{MESSAGES}/1", {"body": "edited"})[1]
    assert (edited["body"], edited["metadata"]) == ("edited", {"flagged": True})
    assert ann("PATCH", f"{MESSAGES}/1", {"metadata": {}})[0] == 403
    assert server("PATCH", f"{MESSAGES}/1", {"metadata": None})[0] == 202
    assert ann("PATCH", f"{MESSAGES}/1", {"metadata": {"by": "ann"}})[0] == 202
    assert ann("DELETE", f"{MESSAGES}/2")[0] == 202


def test_a_scope_that_is_missing_is_named(application: Application) -> None:
    reader, writer = application.user(scope="read"), application.user(scope="write")
    assert reader("GET", MESSAGES)[0] == writer("POST", MESSAGES, {"body": "x"})[0] - 2 == 200
    for response, scope in (
        (reader("POST", MESSAGES, {}), "write"),
        (reader("DELETE", f"{MESSAGES}/1"), "write"),
        (writer("GET", MESSAGES), "read"),
        (writer("GET", "/chats/1"), "read"),
        (writer("GET", "/search?q=x"), "read"),
    ):
        assert response[0] == 403
        assert response[2]["WWW-Authenticate"] == (
            f'Bearer error="insufficient_scope", scope="{scope}"'
        )


def test_a_token_for_single_chats_opens_no_list_of_all(application: Application) -> None:
    ann = application.user(chats=[1])
    assert ann("GET", MESSAGES)[0] == 200
    assert ann("GET", f"{MESSAGES}/search?q=x")[0] == 200
    for path in ("/chats", "/search?q=x", "/chats/2", "/chats/2/messages", "/chats/2/messages/1"):
        assert ann("GET", path)[0] == 403


def test_users_have_no_access_to_the_application_and_cannot_change_chats(
    application: Application,
) -> None:
    ann = application.user()
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/keys", {"overlap_seconds": 0}),
        ("POST", "/chats", {}),
        ("PATCH", "/chats/1", {"title": "x"}),
        ("DELETE", "/chats/1", None),
    ):
        assert ann(method, path, body)[0] == 403, (method, path)


def test_an_invalid_claim_is_named(application: Application) -> None:
    for caller, claim in (
        (application.user(exp=1), "exp"),
        (application.user(""), "sub"),
        (application.user(chats="all"), "chats"),
    ):
        status, problem, headers = caller("GET", MESSAGES)
        assert (status, claim in problem["detail"]) == (401, True)
        assert headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_users_have_idempotency_keys_of_their_own(application: Application) -> None:
    sent = {"body": "hello"}
    callers = (application.server, application.user(), application.user("bob"))
    for _ in range(2):
        responses = [caller("POST", MESSAGES, sent, Idempotency_Key="k") for caller in callers]
        assert [a[1]["number"] for a in responses] == [1, 2, 3]
        assert [a[1]["sender"] for a in responses] == [None, "ann", "bob"]


# --- keys


def test_a_key_is_replaced_and_the_previous_key_expires(
    application: Application, ports: FakePorts
) -> None:
    status, made, _ = application.server("POST", "/keys", {"overlap_seconds": 0})
    assert (status, made) == (
        201,
        {"secret_key": application.key(2), "key_version": 2, "previous_valid_until": None},
    )
    assert application.server("GET", "")[0] == application.user()("GET", MESSAGES)[0] == 401
    newer, user = application.caller(application.key(2)), application.user(version=2)
    assert newer("GET", "")[0] == user("GET", MESSAGES)[0] == 200
    made = newer("POST", "/keys", {"overlap_seconds": 60})[1]
    assert made["previous_valid_until"] == rfc3339(ports.clock.now_ms() + 60_000)
    assert newer("GET", "")[0] == user("GET", MESSAGES)[0] == 200
    ports.clock.wait(60)
    assert newer("GET", "")[0] == user("GET", MESSAGES)[0] == 401


def test_the_admin_replaces_a_key_too(application: Application) -> None:
    admin = application.caller(SETTINGS.admin_key)
    made = admin("POST", "/keys", {"overlap_seconds": 0})[1]
    assert application.caller(made["secret_key"])("GET", "/chats")[0] == 200


@pytest.mark.parametrize("overlap", [-1, 604_801, 1.5, "1", None])
def test_how_long_keys_overlap_has_rules(application: Application, overlap: Any) -> None:
    assert pointers(application.server("POST", "/keys", {"overlap_seconds": overlap})) == [
        "/overlap_seconds"
    ]
    assert pointers(application.server("POST", "/keys", {})) == ["/overlap_seconds"]


def test_a_replaced_key_cannot_replace_a_key_during_the_overlap(application: Application) -> None:
    assert application.server("POST", "/keys", {"overlap_seconds": 60})[0] == 201
    assert application.server("POST", "/keys", {"overlap_seconds": 60})[0] == 403
    assert application.server("GET", "")[0] == 200
