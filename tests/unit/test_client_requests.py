"""The client's requests and results are checked against the OpenAPI document."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
from ordinal_client import NewMessage

from tests.unit.client_sides import TOKEN, sides

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs/openapi.json").read_text())
NOT_FOR_PROGRAMS = {("get", "/openapi.json"), ("get", "/docs")}
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAGE = {"before": 9, "limit": 7}

# Each operation of the API and each method for it, with all its arguments.
CALLS: dict[tuple[str, str], tuple[str, list[Any], dict[str, Any]]] = {
    ("post", "/applications"): ("create_application", ["n"], {"idempotency_key": "k"}),
    ("get", "/applications"): ("list_applications", [], {"before": TOKEN, "limit": 7}),
    ("get", "/applications/{token}"): ("get_application", [], {}),
    ("patch", "/applications/{token}"): ("rename_application", ["n", TOKEN], {}),
    ("delete", "/applications/{token}"): ("delete_application", [], {}),
    ("post", "/applications/{token}/keys"): ("rotate_key", [60], {}),
    ("post", "/applications/{token}/chats"): ("create_chat", ["t", {"a": 1}], {}),
    ("get", "/applications/{token}/chats"): ("list_chats", [], PAGE),
    ("get", "/applications/{token}/chats/{chat}"): ("get_chat", [7], {}),
    ("patch", "/applications/{token}/chats/{chat}"): (
        "edit_chat",
        [7],
        {"title": None, "metadata": {}, "if_match": 4},
    ),
    ("delete", "/applications/{token}/chats/{chat}"): ("delete_chat", [7], {"if_match": 4}),
    ("post", "/applications/{token}/chats/{chat}/messages"): (
        "create_message",
        [7, "hi"],
        {"sender": "ann", "metadata": {"a": 1}, "created_at": AT},
    ),
    ("post", "/applications/{token}/chats/{chat}/messages/batch"): (
        "create_messages",
        [7, [NewMessage("hi"), msgspec.Raw(b'{"body":"ho"}')]],
        {},
    ),
    ("get", "/applications/{token}/chats/{chat}/messages"): ("list_messages", [7], PAGE),
    ("get", "/applications/{token}/chats/{chat}/messages/{number}"): ("get_message", [7, 42], {}),
    ("patch", "/applications/{token}/chats/{chat}/messages/{number}"): (
        "edit_message",
        [7, 42],
        {"body": "ho", "metadata": None, "if_match": 4},
    ),
    ("delete", "/applications/{token}/chats/{chat}/messages/{number}"): (
        "delete_message",
        [7, 42],
        {"if_match": 4},
    ),
    ("get", "/applications/{token}/search"): (
        "search_messages",
        ["q"],
        {"sender": "ann", "created_from": AT, "created_to": AT, "sort": "number", "cursor": "c"},
    ),
    ("get", "/applications/{token}/chats/{chat}/messages/search"): (
        "search_chat_messages",
        [7, "q"],
        {"limit": 7},
    ),
    ("get", "/applications/{token}/chats/{chat}/changes"): (
        "list_changes",
        [7],
        {"since": "0", "limit": 7},
    ),
    ("put", "/applications/{token}/chats/{chat}/readers/{user}"): (
        "mark_read",
        [7, "ann/ä", 42],
        {},
    ),
    ("get", "/applications/{token}/chats/{chat}/readers/{user}"): (
        "get_read_marker",
        [7, "ann/ä"],
        {},
    ),
    ("get", "/applications/{token}/readers/{user}"): ("list_read_markers", ["ann/ä"], PAGE),
    ("get", "/health"): ("get_health", [], {}),
    ("get", "/health/ready"): ("get_readiness", [], {}),
}
OPERATIONS = {
    (method, path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if (method, path) not in NOT_FOR_PROGRAMS
}


def test_every_operation_of_the_api_has_a_method() -> None:
    assert set(OPERATIONS) <= set(CALLS)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("route", OPERATIONS, ids=" ".join)
def test_a_method_sends_and_reads_what_the_document_defines(
    route: tuple[str, str], kind: str
) -> None:
    operation = OPERATIONS[route]
    status, example = success_of(operation)
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if example is None:
            return httpx.Response(status)
        return httpx.Response(status, json={**example, "a field of a later version": 1})

    method, args, kwargs = CALLS[route]
    result = sides(handler)[kind].call(method, *args, **kwargs)
    assert holds_all(result, example)
    [request] = requests
    assert request.method == route[0].upper()
    assert re.fullmatch(pattern_of(route[1]), request.url.raw_path.decode().partition("?")[0])
    parameters = operation.get("parameters", [])
    assert set(request.url.params) <= {p["name"] for p in parameters if p["in"] == "query"}
    body = operation.get("requestBody")
    assert bool(body) == bool(request.content)
    if body:
        assert request.headers["Content-Type"] == "application/json"
        schema = body["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(request.content), {**DOCUMENT, **schema})
    if "if_match" in kwargs:
        assert request.headers["If-Match"] == '"4"'


def success_of(operation: dict[str, Any]) -> tuple[int, Any]:
    """The status and the example body of the operation's success in the document."""
    status = min(int(status) for status in operation["responses"])
    content = operation["responses"][str(status)].get("content")
    if not content:
        return status, None
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return status, DOCUMENT["components"]["schemas"][name]["examples"][0]


def holds_all(result: Any, example: Any) -> bool:
    """Whether the result has every field of the example, with its value."""
    got = msgspec.to_builtins(result)
    return normal(got) == normal(example)


def normal(value: Any) -> Any:
    """The value with parsed times, so that two spellings of a time are equal."""
    if isinstance(value, dict):
        return {name: normal(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [normal(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", value):
        return datetime.fromisoformat(value)
    return value


def pattern_of(path: str) -> str:
    """A pattern for the paths of this template below the stage."""
    return "/stage" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
