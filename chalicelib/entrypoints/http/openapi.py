"""The OpenAPI 3.1 document, made from the doors: the types that check requests describe them.

`python -m infra.describe` prints it; a test keeps `docs/openapi.json` equal to it.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from chalicelib.domain.requests import ChatChange, MessageChange
from chalicelib.entrypoints.http.examples import EXAMPLES
from chalicelib.entrypoints.http.openapi_parts import (
    REF,
    Places,
    Schema,
    name_of,
    parameters,
    responses,
)
from chalicelib.entrypoints.http.operation import Access, Operation
from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX, Problem

_ABOUT = """\
Applications hold chats, chats hold messages. Every chat and every message has a number that starts at 1,
that is in the answer to the request that made it, and that nobody ever gets twice. 202 means that it is
kept. Errors are problems (RFC 9457); lists are pages, and `next` is the path of the next one.\
"""
_TAGS = ("applications", "chats", "messages", "readers", "search", "health", "description")
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
    from chalicelib.entrypoints.http.door import OPERATIONS

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
