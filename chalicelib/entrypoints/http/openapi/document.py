"""The OpenAPI 3.1 document, made from the endpoints: the types that check requests also describe them.

`python -m chalicelib.entrypoints.http.openapi.export` prints it. A test keeps `docs/openapi.json` in step.
"""

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
from chalicelib.entrypoints.http.auth import Access
from chalicelib.entrypoints.http.endpoint import Operation
from chalicelib.entrypoints.http.openapi.schema_refs import (
    REF,
    Schema,
    SchemaRefs,
    component_name,
    parameters,
    responses,
)
from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX, Problem
from chalicelib.entrypoints.http.schemas import (
    ApplicationResponse,
    BatchResponse,
    ChangesResponse,
    ChatDetailResponse,
    ChatResponse,
    DeletedResponse,
    HealthResponse,
    ListResponse,
    MessageResponse,
    NewApplicationResponse,
    NewKeyResponse,
    ReadinessResponse,
    ReadMarkerResponse,
    SearchResponse,
    UserReadMarkerResponse,
)

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

# One example of each body, for the documentation. A test checks them against their types.
EXAMPLES: dict[Any, dict[str, Any]] = {
    ApplicationRequest: {"name": "demo"},
    ChatRequest: {"title": "Support", "metadata": {"ticket": 4711}},
    ChatChange: {"title": "Support, closed"},
    KeyRequest: {"overlap_seconds": 3600},
    MessageRequest: {"body": "Good morning", "sender": "ann"},
    MessageChange: {"body": "Good evening"},
    BatchRequest: {"messages": [{"body": "Good morning", "sender": "ann"}, {"body": "Hello"}]},
    ApplicationResponse: _APPLICATION,
    NewApplicationResponse: _APPLICATION
    | {"secret_key": "ok_1_kXr0uJw3mZl8QfVb1nTg5sHyDa2cPe7oWi4jLtM9RxU"},
    NewKeyResponse: {
        "secret_key": "ok_2_Zs8mWq1yTg4bNc7vXe0hLkRd5uJfPa3iOt6wBn9MrHQ",
        "key_version": 2,
        "previous_valid_until": "2026-01-31T13:00:00.000Z",
    },
    ListResponse[ApplicationResponse]: {"items": [_APPLICATION], "next": None},
    ChatResponse: _CHAT,
    ChatDetailResponse: _CHAT | {"skipped": [{"from": 12, "to": 12}]},
    ListResponse[ChatResponse]: {"items": [_CHAT], "next": f"{_PATH}/chats?before=7"},
    MessageResponse: _MESSAGE,
    ListResponse[MessageResponse]: {
        "items": [_MESSAGE],
        "next": f"{_PATH}/chats/7/messages?before=42",
    },
    ChangesResponse: {
        "items": [
            {"type": "created", "number": 42, "revision": 4294967338, "message": _MESSAGE},
            {"type": "deleted", "number": 40, "revision": 4294967339, "message": None},
        ],
        "since": "57.40",
        "next": None,
    },
    BatchResponse: {"first": 43, "last": 44},
    DeletedResponse: {"number": 42, "revision": 4294967339},
    MarkerRequest: {"number": 40},
    UserReadMarkerResponse: _READING | {"user": "ann"},
    ListResponse[ReadMarkerResponse]: {
        "items": [_READING],
        "next": f"{_PATH}/readers/ann?before=7",
    },
    SearchResponse: {
        "items": [_MESSAGE | {"chat": 7, "highlight": "Good <em>morn</em>ing"}],
        "total": 1,
        "next": None,
    },
    HealthResponse: {"status": "ok"},
    ReadinessResponse: {
        "status": "ok",
        "parts": {"redis": "ok", "mysql": "ok", "sqs": "ok", "opensearch": "ok"},
    },
}

_ABOUT = """\
Applications have chats, and chats have messages. Every chat and every message has a number, starting at 1. \
The number is in the response to the request that created it, and is never used twice. 202 means that the \
request is accepted and will not be lost. Errors are problems (RFC 9457). Lists are pages; `next` is the \
path of the next page. Later versions may add fields to responses and new types of changes: a client ignores \
unknown fields, and skips changes of an unknown type.\
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
        "description": "The key of the whole service: it can create and list applications.",
    },
    "secretKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The secret key of an application, `ok_…`. It allows everything in the application. "
        "Only servers may have it.",
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
    """The document of all registered endpoints."""
    from chalicelib.entrypoints.http.endpoint import OPERATIONS

    return json.dumps(document(OPERATIONS), ensure_ascii=False)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of these operations."""
    refs, schemas = _schemas(operations)
    queries = {component_name(refs[o.query]) for o in operations if o.query}
    components: dict[str, Schema] = {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ordinal", "version": "0.1.0", "description": _ABOUT},
        "servers": [{"url": "."}],
        "tags": [{"name": tag} for tag in _TAGS],
        "paths": _paths(operations, refs, schemas, components),
        "components": {
            "schemas": {k: v for k, v in sorted(schemas.items()) if k not in queries},
            "responses": components,
            "securitySchemes": _SECURITY,
        },
        "x-problems": [
            {"type": TYPE_PREFIX + code, **msgspec.to_builtins(kind)}
            for code, kind in PROBLEMS.items()
        ],
    }


def _schemas(operations: Sequence[Operation]) -> tuple[SchemaRefs, dict[str, Schema]]:
    """The reference to each type's schema, and the schemas by name, with their examples."""
    used = [
        t for o in operations for t in (*o.responses.values(), o.body, o.query) if t is not None
    ]
    types = [*dict.fromkeys(used), Problem]
    references, schemas = msgspec.json.schema_components(types, ref_template=REF)
    refs = dict(zip(types, references, strict=True))
    for kind, ref in refs.items():
        if kind in EXAMPLES:
            schemas[component_name(ref)]["examples"] = [EXAMPLES[kind]]
    for change in (ChatChange, MessageChange):
        schemas[component_name(refs[change])]["minProperties"] = 1
    return refs, schemas


def _paths(
    operations: Sequence[Operation],
    refs: SchemaRefs,
    schemas: dict[str, Schema],
    components: dict[str, Schema],
) -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        described = _operation(operation, refs, schemas)
        described["responses"] = responses(operation, refs, components)
        methods[operation.method.lower()] = described
    return paths


def _operation(operation: Operation, refs: SchemaRefs, schemas: dict[str, Schema]) -> Schema:
    summary, _, description = operation.text.partition("\n\n")
    described: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": " ".join(summary.split()).removesuffix("."),
    }
    if description:
        described["description"] = " ".join(description.split())
    if operation.access != "open":
        described["security"] = [{scheme: []} for scheme in _SCHEMES[operation.access]]
    if taken := parameters(operation, refs, schemas):
        described["parameters"] = taken
    if operation.body:
        content = {"application/json": {"schema": refs[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described
