"""The HTTP endpoints through Chalice's test client, on fakes: requests, refusals and their problems."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from chalice.test import Client
from msgspec.structs import replace

from app import app
from chalicelib.domain.auth import Tenant, derive_key
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES
from chalicelib.entrypoints.http import auth, endpoint, health
from tests.fakes.ports import SETTINGS, FakePorts

ADMIN = {"Authorization": f"Bearer {SETTINGS.admin_key}"}


class Api:
    """Requests of one tenant."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self.token = token
        self.headers = {
            "Authorization": f"Bearer {derive_key(SETTINGS.master_key, token, 1)}",
            "Content-Type": "application/json",
        }

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        sent = {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        response = self._client.http.request(
            method, f"/applications/{self.token}{path}", headers=sent, body=data
        )
        return response.status_code, response.json_body, response.headers


@pytest.fixture
def client(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(endpoint, "request_ports", lambda: ports)
    with Client(app) as client:
        yield client


@pytest.fixture
def api(client: Client, tenant: Tenant) -> Api:
    return Api(client, tenant.token)


@pytest.fixture
def chat(api: Api) -> Api:
    assert api("POST", "/chats", {"title": "a chat"})[0] == 202
    return api


def test_the_admin_creates_an_application_and_gets_its_key_once(client: Client) -> None:
    headers = {**ADMIN, "Content-Type": "application/json"}
    made = client.http.post("/applications", headers=headers, body=b'{"name": "demo"}')
    assert made.status_code == 201
    token, key = made.json_body["token"], made.json_body["secret_key"]
    scoped_to_user = client.http.get(
        f"/applications/{token}", headers={"Authorization": f"Bearer {key}"}
    )
    assert scoped_to_user.json_body == {
        k: v for k, v in made.json_body.items() if k != "secret_key"
    }
    listed = client.http.get("/applications", headers=ADMIN).json_body
    assert listed == {"items": [scoped_to_user.json_body], "next": None}


def test_applications_are_listed_page_by_page(client: Client, ports: FakePorts) -> None:
    headers = {**ADMIN, "Content-Type": "application/json"}
    for name in "abcde":
        body = json.dumps({"name": name}).encode()
        client.http.post("/applications", headers=headers, body=body)
        ports.clock.wait(0.001)
    names, path = [], "/applications?limit=2"
    while path:
        page = client.http.get(path, headers=ADMIN).json_body
        names += [a["name"] for a in page["items"]]
        path = page["next"]
    assert names == ["e", "d", "c", "b", "a"]


def test_an_application_is_renamed_and_deleted(api: Api) -> None:
    assert api("PATCH", "", {"name": "new"})[1]["name"] == "new"
    assert api("DELETE", "")[0] == 204
    status, problem, _ = api("GET", "/chats")
    assert (status, problem["type"]) == (404, "urn:ordinal:problem:not-found")


@pytest.mark.parametrize(
    ("credential", "challenge"),
    [
        *((none, "Bearer") for none in ("", "Bearer", "Bearer ", "Basic abc")),
        *((f"Bearer {bad}", 'Bearer error="invalid_token"') for bad in ("ok_1_x", "no", "ey.x.y")),
    ],
)
def test_without_the_right_key_every_path_is_401(api: Api, credential: str, challenge: str) -> None:
    for path in ("", "/chats", "/chats/1", "/chats/1/messages", "/search?q=x"):
        status, problem, headers = api("GET", path, Authorization=credential)
        assert (status, problem["status"]) == (401, 401)
        assert headers["WWW-Authenticate"] == challenge
        assert headers["Content-Type"] == "application/problem+json"


def test_an_applications_key_opens_no_other_application(
    client: Client, api: Api, ports: FakePorts
) -> None:
    other = "f" * 30
    ports.store.applications.create_application(other, "other", "2026-01-01T00:00:00.000Z")
    for path in ("", "/chats", "/chats/1/messages"):
        response = client.http.get(f"/applications/{other}{path}", headers=api.headers)
        assert response.status_code == 401
    assert client.http.get("/applications", headers=api.headers).status_code == 401


def test_the_response_to_a_message_has_its_number(chat: Api) -> None:
    sent = {"body": "hello", "sender": "ann", "metadata": {"a": [1, {"b": None}]}}
    status, made, headers = chat("POST", "/chats/1/messages", sent)
    assert (status, made["number"]) == (202, 1)
    assert headers["Location"] == f"/applications/{chat.token}/chats/1/messages/1"
    status, read, headers = chat("GET", "/chats/1/messages/1")
    assert (status, read) == (200, made)
    assert headers["ETag"] == f'"{made["revision"]}"'
    assert {k: read[k] for k in sent} == sent


def test_the_messages_of_a_batch_get_consecutive_numbers(chat: Api, ports: FakePorts) -> None:
    ports.persist()
    batch = {"messages": [{"body": str(i)} for i in range(5)]}
    assert chat("POST", "/chats/1/messages/batch", batch)[:2] == (202, {"first": 1, "last": 5})
    page = chat("GET", "/chats/1/messages?limit=2")[1]
    assert [m["number"] for m in page["items"]] == [5, 4]
    assert page["next"] == f"/applications/{chat.token}/chats/1/messages?limit=2&before=4"


def test_a_retry_with_the_same_key_is_one_message(chat: Api) -> None:
    first = chat("POST", "/chats/1/messages", {"body": "x"}, Idempotency_Key="k")
    again = chat("POST", "/chats/1/messages", {"body": "x"}, Idempotency_Key="k")
    assert first[:2] == again[:2]
    status, problem, _ = chat("POST", "/chats/1/messages", {"body": "y"}, Idempotency_Key="k")
    assert (status, problem["type"]) == (422, "urn:ordinal:problem:idempotency-key-reused")
    assert chat("GET", "/chats/1/messages")[1]["items"] == [first[1]]


def test_every_change_with_a_key_is_made_once_and_its_replay_has_the_same_response(
    chat: Api,
) -> None:
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/chats", {"title": "b"}),
        ("POST", "/chats/1/messages", {"body": "x"}),
        ("POST", "/chats/1/messages/batch", {"messages": [{"body": "y"}]}),
        ("PATCH", "/chats/1/messages/1", {"body": "z"}),
        ("PATCH", "/chats/1", {"metadata": {"a": 1}}),
        ("DELETE", "/chats/1/messages/1", None),
        ("DELETE", "/chats/1", None),
        ("PATCH", "", {"name": "new"}),
        ("DELETE", "", None),
    ]
    for i, request in enumerate(requests):
        first = chat(*request, Idempotency_Key=f"k{i}")
        again = chat(*request, Idempotency_Key=f"k{i}")
        assert first[:2] == again[:2], request
        assert first[0] < 300
        assert ("Idempotency-Replayed" in first[2], again[2]["Idempotency-Replayed"]) == (
            False,
            "true",
        )
        for name in ("ETag", "Location"):
            assert first[2].get(name) == again[2].get(name)


def test_an_application_is_created_once_for_a_key_and_the_retry_has_its_secret_key(
    client: Client, ports: FakePorts
) -> None:
    headers = {**ADMIN, "Content-Type": "application/json", "Idempotency-Key": "k"}
    first, again = (
        client.http.post("/applications", headers=headers, body=b'{"name": "demo"}')
        for _ in range(2)
    )
    assert (again.status_code, again.json_body) == (201, first.json_body)
    assert again.headers["Location"] == first.headers["Location"]
    assert first.json_body["secret_key"] not in str(ports.store._responses)
    other = client.http.post("/applications", headers=headers, body=b'{"name": "other"}')
    assert other.json_body["type"] == "urn:ordinal:problem:idempotency-key-reused"
    assert len(client.http.get("/applications", headers=ADMIN).json_body["items"]) == 1


def test_a_key_belongs_to_its_method_path_and_body(chat: Api) -> None:
    for body in ("x", "y"):
        chat("POST", "/chats/1/messages", {"body": body})
    assert chat("PATCH", "/chats/1/messages/1", {"body": "z"}, Idempotency_Key="k")[0] == 202
    for method, path, body in (
        ("PATCH", "/chats/1/messages/1", {"body": "other"}),
        ("PATCH", "/chats/1/messages/2", {"body": "z"}),
        ("POST", "/chats/1/messages", {"body": "z"}),
        ("DELETE", "/chats/1/messages/1", None),
    ):
        status, problem, headers = chat(method, path, body, Idempotency_Key="k")
        assert (status, problem["type"]) == (422, "urn:ordinal:problem:idempotency-key-reused")
        assert "Idempotency-Replayed" not in headers
    assert chat("GET", "/chats/1/messages/2")[1]["body"] == "y"


def test_a_key_between_quotes_is_the_same_key(chat: Api) -> None:
    first = chat("POST", "/chats/1/messages", {"body": "x"}, Idempotency_Key='a"b')
    again = chat("POST", "/chats/1/messages", {"body": "x"}, Idempotency_Key='"a\\"b"')
    assert again[:2] == first[:2]


def test_beyond_the_rate_a_request_is_refused_with_the_time_to_retry_after(
    chat: Api, ports: FakePorts
) -> None:
    ports.persist()
    ports.settings = replace(ports.settings, application_rate=100)
    ports.clock.wait(1)
    _, _, headers = chat("GET", "/chats/1/messages/9")
    assert headers["RateLimit-Policy"] == '"application";q=1232;w=13'
    assert headers["RateLimit"].startswith('"application";r=1231;t=')
    batch = {"messages": [{"body": "x"}] * 500}
    for _ in range(2):
        assert chat("POST", "/chats/1/messages/batch", batch)[0] == 202
    status, problem, headers = chat("POST", "/chats/1/messages/batch", batch)
    assert (status, problem["type"]) == (429, "urn:ordinal:problem:rate-limited")
    assert headers["Retry-After"] == "3"
    assert headers["RateLimit"].startswith('"application";r=231;t=')
    assert ports.metrics.counts["RequestsRateLimited:application"] == 1
    ports.clock.wait(2.69)
    assert chat("POST", "/chats/1/messages/batch", batch)[0] == 202
    assert chat("GET", "/chats/1")[0] == 429


def test_requests_of_the_admin_and_open_endpoints_have_no_rate_limit(client: Client) -> None:
    for path in ("/applications", "/health"):
        assert "RateLimit" not in client.http.get(path, headers=ADMIN).headers


def test_a_user_has_a_rate_limit_within_that_of_the_application() -> None:
    buckets = auth._buckets(SETTINGS, "ann")
    assert [bucket.name for bucket in buckets] == ["application", "user"]
    assert [(bucket.rate, bucket.size) for bucket in buckets] == [(2_000, 4_000), (50, 1_232)]


def test_an_edit_and_a_deletion_are_seen_at_once(chat: Api) -> None:
    made = chat("POST", "/chats/1/messages", {"body": "x", "sender": "ann"})[1]
    status, edited, _ = chat("PATCH", "/chats/1/messages/1", {"body": "y"})
    assert (status, edited["body"], edited["sender"]) == (202, "y", "ann")
    seen = f'"{made["revision"]}"'
    assert chat("PATCH", "/chats/1/messages/1", {"body": "z"}, If_Match=seen)[0] == 412
    assert chat("DELETE", "/chats/1/messages/1")[0] == 202
    assert chat("GET", "/chats/1/messages/1")[0] == 410
    assert chat("GET", "/chats/1/messages")[1] == {"items": [], "next": None}


def test_changes_continue_from_the_position_of_the_last_response(
    chat: Api, ports: FakePorts
) -> None:
    start = {"items": [], "since": "0", "next": None}
    assert chat("GET", "/chats/1/changes")[:2] == (200, start)
    for body in "abc":
        chat("POST", "/chats/1/messages", {"body": body})
    chat("PATCH", "/chats/1/messages/1", {"body": "a2"})
    assert chat("GET", "/chats/1/changes?since=0")[1] == start
    ports.persist()
    page = chat("GET", "/chats/1/changes?limit=2")[1]
    assert [(c["type"], c["number"]) for c in page["items"]] == [("created", 2), ("created", 3)]
    path = f"/chats/1/changes?limit=2&since={page['since']}"
    assert page["next"] == f"/applications/{chat.token}{path}"
    rest = chat("GET", path)[1]
    edited = chat("GET", "/chats/1/messages/1")[1]
    change = {"type": "edited", "number": 1, "revision": edited["revision"], "message": edited}
    assert (rest["items"], rest["next"]) == ([change], None)
    deleted = chat("DELETE", "/chats/1/messages/2")[1]
    ports.persist()
    last = chat("GET", f"/chats/1/changes?since={rest['since']}")[1]
    assert last["items"] == [{"type": "deleted", **deleted, "message": None}]
    assert chat("GET", "/chats/2/changes")[0] == 404
    chat("DELETE", "/chats/1")
    assert chat("GET", "/chats/1/changes")[0] == 410


@pytest.mark.parametrize("query", ["since=x", "since=", "since=5", "since=1.2.3"])
def test_changes_since_an_invalid_position_are_refused(chat: Api, query: str) -> None:
    status, problem, _ = chat("GET", f"/chats/1/changes?{query}")
    assert (status, problem["errors"][0]["pointer"]) == (422, "since")


def test_a_chat_is_changed_and_deleted(chat: Api) -> None:
    status, changed, _ = chat("PATCH", "/chats/1", {"title": None, "metadata": {"a": 1}})
    assert (status, changed["title"], changed["metadata"]) == (202, None, {"a": 1})
    assert chat("DELETE", "/chats/1")[0] == 202
    for method, path, body in (
        ("GET", "/chats/1", None),
        ("GET", "/chats/1/messages", None),
        ("POST", "/chats/1/messages", {"body": "x"}),
        ("GET", "/chats/1/messages/search?q=x", None),
    ):
        assert chat(method, path, body)[0] == 410
    assert chat("GET", "/chats")[1]["items"] == []


def test_a_service_that_is_down_is_503_with_retry_after(chat: Api, ports: FakePorts) -> None:
    ports.queues.is_down = True
    status, problem, headers = chat("POST", "/chats/1/messages", {"body": "x"})
    assert (status, problem["type"]) == (503, "urn:ordinal:problem:unavailable")
    assert int(headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ({"body": ""}, "/body", "must not be blank"),
        ({"body": " \t\n\u3000"}, "/body", "must not be blank"),
        ({"body": "x" * 20_001}, "/body", "length <= 20000"),
        ({"body": 1}, "/body", "must be `str`"),
        ({"body": None}, "/body", "must be `str`"),
        ({}, "/body", "is missing"),
        ({"body": "x", "sender": "s" * 256}, "/sender", "length <= 255"),
        ({"body": "x", "sender": 1}, "/sender", "must be `str | null`"),
        ({"body": "x", "metadata": []}, "/metadata", "must be `object | null`"),
        ({"body": "x", "metadata": {"a": "m" * 4096}}, "/metadata", "4096 bytes"),
        ({"body": "x", "extra": 1}, "/extra", "is not known"),
        ({"body": "x", "created_at": "yesterday"}, "/created_at", "RFC 3339"),
        ({"body": "x", "created_at": "2026-01-01T00:00:00"}, "/created_at", "RFC 3339"),
        ({"body": "x", "created_at": "9000-01-01T00:00:00Z"}, "/created_at", "future"),
        ([], "", "must be `object`"),
        ("x", "", "must be `object`"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(
    chat: Api, body: Any, pointer: str, rule: str
) -> None:
    status, problem, headers = chat("POST", "/chats/1/messages", body)
    assert status == 422
    assert headers["Content-Type"] == "application/problem+json"
    [violation] = problem["errors"]
    assert violation["pointer"] == pointer
    assert rule in violation["rule"]
    assert chat("GET", "/chats/1/messages")[1]["items"] == []


def test_every_violation_of_a_body_is_named(chat: Api) -> None:
    messages = [
        {"body": " ", "sender": "s" * 256},
        {"body": 1, "from/to": 2, "metadata": "x"},
        {"body": "fine"},
        "no message",
        {"sender": None},
    ]
    problem = chat("POST", "/chats/1/messages/batch", {"messages": messages, "more": True})[1]
    assert [violation["pointer"] for violation in problem["errors"]] == [
        "/more",
        "/messages/0/sender",
        "/messages/1/from~1to",
        "/messages/1/body",
        "/messages/1/metadata",
        "/messages/3",
        "/messages/4/body",
    ]
    future = "2100-01-01T00:00:00Z"
    problem = chat("POST", "/chats/1/messages", {"body": " ", "created_at": future})[1]
    assert [violation["pointer"] for violation in problem["errors"]] == ["/body", "/created_at"]


def test_a_body_beyond_the_limit_of_lambda_is_refused(chat: Api) -> None:
    raw = b'{"body": "x"}'
    for size, status in ((MAX_REQUEST_BYTES, 202), (MAX_REQUEST_BYTES + 1, 413)):
        assert chat("POST", "/chats/1/messages", raw=raw.ljust(size))[0] == status


def test_no_page_is_larger_than_lambda_allows(chat: Api, ports: FakePorts) -> None:
    large = {"body": "x" + "\x01" * 19_999, "metadata": {"m": "y" * 4_000}}
    for _ in range(3):
        ports.persist()
        assert chat("POST", "/chats/1/messages/batch", {"messages": [large] * 20})[0] == 202
    ports.persist()
    for path in (
        "/chats/1/messages?after=0&limit=100",
        "/chats/1/changes?limit=100",
        "/search?q=x&limit=100",
    ):
        count, following = 0, path
        while following:
            page = chat("GET", following)[1]
            assert len(json.dumps(page)) < MAX_RESPONSE_BYTES
            count += len(page["items"])
            following = (page["next"] or "").removeprefix(f"/applications/{chat.token}")
        assert count == 60


def test_every_violation_of_a_query_is_named(chat: Api) -> None:
    problem = chat("GET", "/search?limit=0&sort=size&page=2")[1]
    names = sorted(violation["pointer"] for violation in problem["errors"])
    assert names == ["limit", "page", "q", "sort"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"body": "x"',
        b"\xff\xfe",
        b'{"body": "\xff"}',
        b'{"body": "\\ud800"}',
        b'{"a":' * 9999,
        b'{"body":"x","metadata":' + b'{"a":' * 700 + b"1" + b"}" * 701,
        b'{"body":"x","metadata":{"a":' + b"[" * 100000 + b"]" * 100000 + b"}}",
    ],
)
def test_a_broken_body_is_refused(chat: Api, raw: bytes) -> None:
    status, problem, _ = chat("POST", "/chats/1/messages", raw=raw)
    assert (status, problem["type"]) == (422, "urn:ordinal:problem:invalid-request")


@pytest.mark.parametrize(
    ("batch", "pointer"),
    [
        ({"messages": []}, "/messages"),
        ({"messages": [{"body": "x"}] * 501}, "/messages"),
        ({"messages": [{"body": "x"}, {"body": " "}]}, "/messages/1/body"),
        ({"messages": [{"body": "x"}, {"body": 2}]}, "/messages/1/body"),
    ],
)
def test_a_batch_is_refused_whole(chat: Api, batch: Any, pointer: str) -> None:
    status, problem, _ = chat("POST", "/chats/1/messages/batch", batch)
    assert status == 422
    assert [violation["pointer"] for violation in problem["errors"]] == [pointer]
    assert chat("GET", "/chats/1/messages")[1]["items"] == []


@pytest.mark.parametrize(
    "number", ["0", "-1", "x", "1.5", "99999999999999999999", "9007199254740992", "²"]
)
def test_a_number_out_of_range_is_refused(chat: Api, number: str) -> None:
    for path in (f"/chats/{number}", f"/chats/1/messages/{number}", f"/chats/{number}/messages"):
        status, problem, _ = chat("GET", path)
        name = "number" if "messages/" in path else "chat"
        assert (status, problem["errors"][0]["pointer"]) == (422, name)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("before=0", "before"),
        ("after=x", "after"),
        ("page=2", "page"),
        ("limit=2&limit=3", "limit"),
    ],
)
def test_a_bad_parameter_is_named(chat: Api, query: str, name: str) -> None:
    status, problem, _ = chat("GET", f"/chats/1/messages?{query}")
    assert (status, problem["errors"][0]["pointer"]) == (422, name)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"title": "t" * 256}, "/title"),
        ({"title": " "}, "/title"),
        ({"metadata": "x"}, "/metadata"),
        ({"name": "x"}, "/name"),
    ],
)
def test_the_fields_of_a_chat_have_rules(api: Api, body: Any, pointer: str) -> None:
    status, problem, _ = api("POST", "/chats", body)
    assert (status, problem["errors"][0]["pointer"]) == (422, pointer)


def test_a_change_must_change_something(chat: Api) -> None:
    assert chat("PATCH", "/chats/1", {})[0] == 422


def test_an_applications_name_has_rules(client: Client) -> None:
    headers = {**ADMIN, "Content-Type": "application/json"}
    for name in ("", " ", "n" * 256, None, 1):
        body = json.dumps({"name": name}).encode()
        response = client.http.post("/applications", headers=headers, body=body)
        assert (response.status_code, response.json_body["errors"][0]["pointer"]) == (422, "/name")


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", '"open', '""', '"a"b"'])
def test_an_idempotency_key_has_rules(chat: Api, key: str) -> None:
    status, problem, _ = chat("POST", "/chats/1/messages", {"body": "x"}, Idempotency_Key=key)
    assert (status, problem["errors"][0]["pointer"]) == (422, "Idempotency-Key")


def test_another_content_type_is_refused_in_the_shape_of_all_errors(chat: Api) -> None:
    status, problem, headers = chat("POST", "/chats", raw=b"title=x", Content_Type="text/plain")
    assert (status, problem["type"]) == (415, "urn:ordinal:problem:unsupported-media-type")
    assert headers["Content-Type"] == "application/problem+json"


def test_an_endpoint_without_a_body_accepts_any_content_type(chat: Api) -> None:
    assert chat("GET", "/chats/1", Content_Type="text/plain")[0] == 200
    assert chat("DELETE", "/chats/1", Content_Type="application/x-www-form-urlencoded")[0] == 202


def test_a_method_that_a_path_does_not_allow_is_a_problem_that_names_the_others(chat: Api) -> None:
    status, problem, headers = chat("PUT", "/chats/1")
    assert (status, problem["type"]) == (405, "urn:ordinal:problem:method-not-allowed")
    assert headers["Content-Type"] == "application/problem+json"
    assert set(headers["Allow"].split(", ")) == {"GET", "PATCH", "DELETE"}


def test_an_error_of_a_middleware_has_the_shape_of_all_errors(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Any, get_response: Any) -> Any:
        raise ValueError("a secret")

    monkeypatch.setattr(app, "middleware_handlers", [*app.middleware_handlers, (broken, "http")])
    response = client.http.get("/health")
    assert (response.status_code, response.json_body["type"]) == (
        500,
        "urn:ordinal:problem:internal",
    )
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "a secret" not in response.body.decode() + caplog.text


def test_health_is_readable_without_a_key(client: Client, ports: FakePorts) -> None:
    assert client.http.get("/health").json_body == {"status": "ok"}
    assert client.http.get("/health/ready").status_code == 200
    ports.queues.is_down = True
    ports.clock.wait(health.MAX_AGE_MS / 1000)
    ready = client.http.get("/health/ready")
    assert (ready.status_code, ready.json_body["parts"]["sqs"]) == (503, "unavailable")


def test_many_readiness_requests_are_few_calls_to_the_services(
    client: Client, ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[int] = []
    monkeypatch.setattr(ports.store, "ping", lambda: pings.append(ports.clock.now_ms()))
    started_ms = ports.clock.now_ms()
    for _ in range(100):
        assert client.http.get("/health/ready").status_code == 200
        ports.clock.wait(0.05)
    assert [at - started_ms for at in pings] == [0, 2_000, 4_000]


def test_a_readiness_request_does_not_wait_for_one_hanging_service_after_another(
    client: Client, ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang() -> None:
        ports.clock.wait(4)
        raise UnavailableError("no response")

    for part in (ports.sequencer, ports.store, ports.index):
        monkeypatch.setattr(part, "ping", hang)
    started_ms = ports.clock.now_ms()
    ready = client.http.get("/health/ready")
    assert ports.clock.now_ms() - started_ms == 8_000
    assert (ready.status_code, ready.json_body["parts"]) == (
        503,
        {
            "redis": "unavailable",
            "mysql": "unavailable",
            "opensearch": "unknown",
            "sqs": "unknown",
        },
    )


def test_a_readiness_request_does_not_wait_for_the_check_of_another_request(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = health.ReadinessCheck(ports)  # type: ignore[arg-type]
    during: list[dict[str, str]] = []
    monkeypatch.setattr(ports.store, "ping", lambda: during.append({**check.states()}))
    assert set(check.states().values()) == {"ok"}
    assert [states["mysql"] for states in during] == ["unknown"]


# --- read markers


def test_a_read_marker_is_moved_and_read_with_the_unread_count(chat: Api, ports: FakePorts) -> None:
    batch = {"messages": [{"body": str(i)} for i in range(5)]}
    chat("POST", "/chats/1/messages/batch", batch)
    for _ in range(2):
        marker = {"user": "ann", "chat": 1, "number": 2, "unread": 3, "last_message_number": 5}
        assert chat("PUT", "/chats/1/readers/ann", {"number": 2})[:2] == (200, marker)
        assert chat("PUT", "/chats/1/readers/ann", {"number": 1})[:2] == (200, marker)
        assert chat("GET", "/chats/1/readers/ann")[:2] == (200, marker)
        ports.persist()
    chat("DELETE", "/chats/1/messages/4")
    assert chat("GET", "/chats/1/readers/ann")[1]["unread"] == 2
    assert chat("GET", "/chats/1/readers/bob")[1] == marker | {
        "user": "bob",
        "number": 0,
        "unread": 4,
    }
    assert chat("PUT", "/chats/1/readers/ann", {"number": 10**6})[1]["number"] == 5


def test_all_read_markers_of_a_user_are_listed_page_by_page(chat: Api) -> None:
    for number in range(2, 6):
        chat("POST", "/chats", {})
        chat("POST", f"/chats/{number}/messages", {"body": "x"})
    for number in range(1, 6):
        chat("PUT", f"/chats/{number}/readers/Zo%C3%AB%20%2F%25", {"number": 0})
    assert chat("GET", "/readers/Zo%C3%AB")[1] == {"items": [], "next": None}
    items, path = [], "/readers/Zo%C3%AB%20%2F%25?limit=2"
    while path:
        page = chat("GET", path)[1]
        items += page["items"]
        path = (page["next"] or "").removeprefix(f"/applications/{chat.token}")
    assert [item["chat"] for item in items] == [5, 4, 3, 2, 1]
    assert items[0] == {"chat": 5, "number": 0, "unread": 1, "last_message_number": 1}
    assert items[4] == {"chat": 1, "number": 0, "unread": 0, "last_message_number": 0}


@pytest.mark.parametrize(
    "name", ["ann", "a b", "a/b", "a%2Fb", "100%", "a+b", "Zoë", "🦊" * 255, "a?b#c", "ann ", "%41"]
)
def test_a_user_may_have_any_name(chat: Api, name: str) -> None:
    path = f"/chats/1/readers/{quote(name, safe='')}"
    assert chat("PUT", path, {"number": 0})[1]["user"] == name


@pytest.mark.parametrize(
    "sent", ["x" * 256, "%F0%9F%A6%8A" * 256, "%00", "a%0Ab", "%7F", "%C2%85", "%FF", "100%", "%4"]
)
def test_an_invalid_name_of_a_user_is_refused(chat: Api, sent: str) -> None:
    for method, body in (("GET", None), ("PUT", {"number": 1})):
        status, problem, _ = chat(method, f"/chats/1/readers/{sent}", body)
        assert (status, problem["errors"][0]["pointer"]) == (422, "user")


@pytest.mark.parametrize(
    "body", [{}, {"number": -1}, {"number": 2**53}, {"number": "1"}, {"number": 1.5}, {"to": 1}]
)
def test_a_read_marker_that_is_not_a_number_is_refused(chat: Api, body: dict[str, Any]) -> None:
    assert chat("PUT", "/chats/1/readers/ann", body)[0] == 422


def test_a_missing_or_deleted_chat_has_no_read_markers(chat: Api) -> None:
    for method, body in (("GET", None), ("PUT", {"number": 1})):
        assert chat(method, "/chats/2/readers/ann", body)[0] == 404
    chat("PUT", "/chats/1/readers/ann", {"number": 0})
    chat("DELETE", "/chats/1")
    for method, body in (("GET", None), ("PUT", {"number": 1})):
        assert chat(method, "/chats/1/readers/ann", body)[0] == 410
    assert chat("GET", "/readers/ann")[1]["items"] == []
