"""The OpenAPI document, made from the endpoints."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from chalicelib.domain.requests import (
    ApplicationRequest,
    BatchRequest,
    ChatChange,
    ChatRequest,
    KeyRequest,
    MarkerRequest,
    MessageChange,
    MessageRequest,
)
from chalicelib.entrypoints.http.openapi.schema_refs import (
    REF,
    Places,
    Schema,
    name_of,
    parameters,
    responses,
)
from chalicelib.entrypoints.http.operation import Access, Operation
from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX, Problem
from chalicelib.entrypoints.http.schemas import (
    ApplicationView,
    BatchView,
    ChangesView,
    ChatReadingView,
    ChatView,
    DeletedView,
    FoundView,
    HealthView,
    ListView,
    MessageView,
    NewApplicationView,
    NewKeyView,
    OneChatView,
    ReadinessView,
    ReadingView,
)

# One example of each body that the API takes and gives, for its documentation. A test checks them.

_PATH = "/applications/5f0c1d9a3be84f27a6c2e1907d4b58"
_APPLICATION = {
    "token": _PATH.rpartition("/")[2],
    "name": "demo",
    "chats_count": 3,
    "created_at": "2026-01-31T12:00:00.000Z",
}
_CHAT = {
    "number": 7,
    "title": "Support",
    "metadata": {"ticket": 4711},
    "messages_count": 41,
    "last_message_number": 42,
    "revision": 4294967303,
    "created_at": "2026-01-31T12:00:00.000Z",
    "edited_at": None,
}
_MESSAGE = {
    "number": 42,
    "body": "Good morning",
    "sender": "ann",
    "metadata": None,
    "revision": 4294967338,
    "created_at": "2026-01-31T12:00:00.000Z",
    "edited_at": None,
}
_READING = {"chat": 7, "number": 40, "unread": 1, "last_message_number": 42}

EXAMPLES: dict[Any, dict[str, Any]] = {
    ApplicationRequest: {"name": "demo"},
    ChatRequest: {"title": "Support", "metadata": {"ticket": 4711}},
    ChatChange: {"title": "Support, closed"},
    KeyRequest: {"overlap_seconds": 3600},
    MessageRequest: {"body": "Good morning", "sender": "ann"},
    MessageChange: {"body": "Good evening"},
    BatchRequest: {"messages": [{"body": "Good morning", "sender": "ann"}, {"body": "Hello"}]},
    ApplicationView: _APPLICATION,
    NewApplicationView: _APPLICATION
    | {"secret_key": "ok_1_kXr0uJw3mZl8QfVb1nTg5sHyDa2cPe7oWi4jLtM9RxU"},
    NewKeyView: {
        "secret_key": "ok_2_Zs8mWq1yTg4bNc7vXe0hLkRd5uJfPa3iOt6wBn9MrHQ",
        "key_version": 2,
        "previous_valid_until": "2026-01-31T13:00:00.000Z",
    },
    ListView[ApplicationView]: {"items": [_APPLICATION], "next": None},
    ChatView: _CHAT,
    OneChatView: _CHAT | {"skipped": [{"from": 12, "to": 12}]},
    ListView[ChatView]: {"items": [_CHAT], "next": f"{_PATH}/chats?before=7"},
    MessageView: _MESSAGE,
    ListView[MessageView]: {
        "items": [_MESSAGE],
        "next": f"{_PATH}/chats/7/messages?before=42",
    },
    ChangesView: {
        "items": [
            {"type": "created", "number": 42, "revision": 4294967338, "message": _MESSAGE},
            {"type": "deleted", "number": 40, "revision": 4294967339, "message": None},
        ],
        "since": "57.40",
        "next": None,
    },
    BatchView: {"first": 43, "last": 44},
    DeletedView: {"number": 42, "revision": 4294967339},
    MarkerRequest: {"number": 40},
    ReadingView: _READING | {"user": "ann"},
    ListView[ChatReadingView]: {"items": [_READING], "next": f"{_PATH}/readers/ann?before=7"},
    FoundView: {
        "items": [_MESSAGE | {"chat": 7, "highlight": "Good <em>morn</em>ing"}],
        "total": 1,
        "next": None,
    },
    HealthView: {"status": "ok"},
    ReadinessView: {
        "status": "ok",
        "parts": {"redis": "ok", "mysql": "ok", "sqs": "ok", "opensearch": "ok"},
    },
}


# The OpenAPI 3.1 document, made from the doors: the types that check requests describe them.
#
# `python -m infra.describe` prints it; a test keeps `docs/openapi.json` equal to it.

_ABOUT = """\
Applications hold chats, chats hold messages. Every chat and every message has a number that starts at 1,
that is in the answer to the request that made it, and that nobody ever gets twice. 202 means that it is
kept. Errors are problems (RFC 9457); lists are pages, and `next` is the path of the next one.\
"""
_TAGS = (
    "applications",
    "chats",
    "messages",
    "read_markers",
    "search",
    "health",
    "documentation",
)
_SECURITY: dict[str, Schema] = {
    "adminKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The key of the whole service: it creates and lists applications.",
    },
    "secretKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The secret key of an application, `ok_…`: everything in it. For servers only.",
    },
    "userToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's token, signed with the secret key by the application's own server.",
    },
}
_SCHEMES: dict[Access, tuple[str, ...]] = {
    "open": (),
    "admin": ("adminKey",),
    "key or admin": ("secretKey", "adminKey"),
    "key": ("secretKey",),
    "read": ("secretKey", "userToken"),
    "write": ("secretKey", "userToken"),
}


@cache
def openapi_json() -> str:
    """The document of all doors that are registered."""
    from chalicelib.entrypoints.http.endpoint import OPERATIONS

    return json.dumps(document(OPERATIONS), ensure_ascii=False)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of these operations."""
    places, schemas = _schemas(operations)
    queries = {name_of(places[o.query]) for o in operations if o.query}
    shared: dict[str, Schema] = {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ordinal", "version": "0.1.0", "description": _ABOUT},
        "servers": [{"url": "."}],
        "tags": [{"name": tag} for tag in _TAGS],
        "paths": _paths(operations, places, schemas, shared),
        "components": {
            "schemas": {k: v for k, v in sorted(schemas.items()) if k not in queries},
            "responses": shared,
            "securitySchemes": _SECURITY,
        },
        "x-problems": [
            {"type": TYPE_PREFIX + code, **msgspec.to_builtins(of)} for code, of in PROBLEMS.items()
        ],
    }


def _schemas(operations: Sequence[Operation]) -> tuple[Places, dict[str, Schema]]:
    """Where the schema of each type stands, and the schemas by name, with their examples."""
    used = [t for o in operations for t in (*o.answers.values(), o.body, o.query) if t is not None]
    types = [*dict.fromkeys(used), Problem]
    found, schemas = msgspec.json.schema_components(types, ref_template=REF)
    places = dict(zip(types, found, strict=True))
    for kind, place in places.items():
        if kind in EXAMPLES:
            schemas[name_of(place)]["examples"] = [EXAMPLES[kind]]
    for change in (ChatChange, MessageChange):
        schemas[name_of(places[change])]["minProperties"] = 1
    return places, schemas


def _paths(
    operations: Sequence[Operation],
    places: Places,
    schemas: dict[str, Schema],
    shared: dict[str, Schema],
) -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for operation in operations:
        of_path = paths.setdefault(operation.path, {})
        described = _operation(operation, places, schemas)
        described["responses"] = responses(operation, places, shared)
        of_path[operation.method.lower()] = described
    return paths


def _operation(operation: Operation, places: Places, schemas: dict[str, Schema]) -> Schema:
    summary, _, description = operation.text.partition("\n\n")
    found: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": " ".join(summary.split()).removesuffix("."),
    }
    if description:
        found["description"] = " ".join(description.split())
    if operation.access != "open":
        found["security"] = [{scheme: []} for scheme in _SCHEMES[operation.access]]
    if taken := parameters(operation, places, schemas):
        found["parameters"] = taken
    if operation.body:
        content = {"application/json": {"schema": places[operation.body]}}
        found["requestBody"] = {"required": True, "content": content}
    return found
