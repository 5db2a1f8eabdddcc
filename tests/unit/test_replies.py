"""Headers and fields of the log that the endpoint adds to every response, for all operations."""

from collections.abc import Iterator
from typing import get_type_hints

import pytest
from chalice.test import HTTPResponse

from chalicelib.entrypoints.http import applications, chats, messages
from chalicelib.entrypoints.http.endpoint import OPERATIONS, Operation, WriteReply
from tests.fakes.ports import SETTINGS, FakePorts
from tests.isolation.requests import EXISTING, request_of
from tests.unit.operator_view import KEY, TOKEN, Functions, operated

IDEMPOTENT = [operation for operation in OPERATIONS if operation.idempotent]
OF_TENANTS = [
    operation
    for operation in OPERATIONS
    if "{token}" in operation.path and operation.method != "DELETE"
]


@pytest.fixture
def functions(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """With a chat and a message in it."""
    with operated(ports, monkeypatch) as functions:
        assert functions.request("POST", "/chats", {"title": "a chat"}) == 202
        assert functions.request("POST", "/chats/1/messages", {"body": "needle"}) == 202
        yield functions


def send(functions: Functions, operation: Operation, **headers: str) -> HTTPResponse:
    request = request_of(operation, TOKEN, EXISTING)
    key = SETTINGS.admin_key if operation.access == "admin" else KEY
    credential = {"Authorization": f"Bearer {key}"}
    return functions.send(request.method, request.path, request.body, **credential, **headers)


def test_applications_chats_and_messages_have_idempotent_operations() -> None:
    assert len(IDEMPOTENT) == 11
    for module in (applications, chats, messages):
        assert {o.tag for o in IDEMPOTENT} >= {module.__name__.rpartition(".")[2]}


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=lambda operation: operation.name)
def test_a_replay_is_named_in_the_response_and_in_the_log(
    functions: Functions, operation: Operation
) -> None:
    sent = [send(functions, operation, **{"Idempotency-Key": "a key"}) for _ in range(2)]
    assert [response.status_code for response in sent] == [operation.success] * 2
    assert [r.headers.get("Idempotency-Replayed") for r in sent] == [None, "true"]
    if operation.name != "rotate_key":
        assert sent[0].body == sent[1].body
    first, second = functions.lines("request")[-2:]
    assert (first["replayed"], second["replayed"]) == (False, True)
    if operation.tag != "applications":
        numbers = ("first", "last", "revision")
        assert [first[name] for name in numbers] == [second[name] for name in numbers]


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=lambda operation: operation.name)
def test_the_function_of_an_idempotent_operation_returns_a_write_reply(
    operation: Operation,
) -> None:
    module = {m.__name__.rpartition(".")[2]: m for m in (applications, chats, messages)}
    function = getattr(module[operation.tag], operation.name)
    assert get_type_hints(function)["return"] == WriteReply


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_headers_are_those_that_the_operation_declares(
    functions: Functions, operation: Operation
) -> None:
    response = send(functions, operation)
    assert response.status_code in operation.responses
    assert ("ETag" in response.headers) == operation.etag
    assert ("Location" in response.headers) == operation.location
    if operation.etag:
        assert response.headers["ETag"] == f'"{response.json_body["revision"]}"'
    if operation.location:
        body = response.json_body
        assert response.headers["Location"].endswith(f"/{body.get('number', body.get('token'))}")


@pytest.mark.parametrize("operation", OF_TENANTS, ids=lambda operation: operation.name)
def test_the_rate_limit_is_in_every_response_to_a_tenant_also_to_an_error(
    functions: Functions, operation: Operation
) -> None:
    assert "RateLimit" in send(functions, operation).headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chats/9", 404),
        ("GET", "/chats/9/messages", 404),
        ("GET", "/chats/1/messages/9", 404),
        ("GET", "/chats/9/changes", 404),
        ("GET", "/chats/9/readers/ann", 404),
        ("GET", "/chats/9/messages/search?q=needle", 404),
        ("PATCH", "/chats/1/messages/9", 404),
    ],
)
def test_an_error_after_the_rate_limit_shows_the_remaining_requests(
    functions: Functions, method: str, path: str, status: int
) -> None:
    body = {"body": "edited"} if method == "PATCH" else None
    response = functions.send(method, f"/applications/{TOKEN}{path}", body)
    assert response.status_code == status
    assert "RateLimit" in response.headers


def test_a_failed_send_to_the_queue_shows_the_remaining_requests(functions: Functions) -> None:
    functions.ports.queues.is_down = True
    path = f"/applications/{TOKEN}/chats/1/messages"
    response = functions.send("POST", path, {"body": "hello"})
    assert response.status_code == 503
    assert "RateLimit" in response.headers
