"""Pieces of the OpenAPI document: what an operation takes, and what it answers."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from chalicelib.domain.errors import InvalidError, RateLimitedError
from chalicelib.domain.limits import MAX_IDEMPOTENCY_KEY_CHARS, MAX_NUMBER, MAX_USER_CHARS
from chalicelib.entrypoints.http.operation import Html, Operation
from chalicelib.entrypoints.http.problems import CONTENT_TYPE, PROBLEMS, RETRIED, TYPE_PREFIX

REF = "#/components/schemas/{name}"

Schema = dict[str, Any]
# Where the schema of a type stands, by type.
Places = Mapping[Any, Schema]

_NUMBER = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
_PATH: dict[str, tuple[str, Schema]] = {
    "token": ("The application's token.", {"type": "string", "pattern": "^[0-9a-f]{30}$"}),
    "chat": ("The chat's number.", _NUMBER),
    "number": ("The message's number.", _NUMBER),
    "user": (
        "The user's name as the application knows it, percent-encoded: no control characters.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_USER_CHARS,
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
        },
    ),
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes it safe to send the request again: for 24 hours the same key with the same "
    "request gets the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_CHARS},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the state that the client has seen; 412 if it is not the current one.",
    "schema": {"type": "string", "pattern": '^([*]|"?[1-9][0-9]{0,14}"?)$'},
}
_HEADERS: dict[str, tuple[str, Schema]] = {
    "ETag": ("Names the state, for `If-Match`.", {"type": "string"}),
    "Location": ("The path of what was made.", {"type": "string"}),
    "Idempotency-Replayed": (
        "`true` where the answer is the one that an earlier request with the same key got.",
        {"type": "string", "enum": ["true"]},
    ),
    "RateLimit-Policy": (
        "The limit: what may be asked for at once (`q`), and in how many seconds that flows back (`w`).",
        {"type": "string"},
    ),
    "RateLimit": (
        "What is left of the limit (`r`), and in how many seconds nothing of it is used (`t`).",
        {"type": "string"},
    ),
    "Retry-After": ("Seconds to wait before the next try.", {"type": "integer"}),
}
# What API Gateway and Chalice may answer at any path, beside what the door does.
_ALWAYS = ("bad-request", "request-too-large", "internal", "unavailable", "timed-out")


def parameters(operation: Operation, places: Places, schemas: Mapping[str, Schema]) -> list[Schema]:
    """What stands in the path, the query and the headers."""
    found = [_in_path(name) for name in re.findall(r"{(\w+)}", operation.path)]
    if operation.query:
        schema = schemas[name_of(places[operation.query])]
        found += [
            _in_query(name, of_field, name in schema["required"])
            for name, of_field in schema["properties"].items()
        ]
    if operation.idempotent:
        found.append(_IDEMPOTENCY_KEY)
    if operation.if_match:
        found.append(_IF_MATCH)
    return found


def responses(operation: Operation, places: Places, shared: dict[str, Schema]) -> dict[str, Schema]:
    """Every answer by status: successes first. Problems stand in `shared`, by name."""
    found = {
        str(status): _success(operation, status, places.get(kind))
        for status, kind in operation.answers.items()
    }
    codes = [error.code for error in operation.all_errors()]
    codes += [*_ALWAYS, *(["unsupported-media-type"] if operation.body else [])]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, of_status in sorted(by_status.items()):
        name = "Or".join(_camel(code) for code in of_status)
        shared.setdefault(name, _problem_response(of_status))
        found.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
    return found


def _problem_response(codes: Sequence[str]) -> Schema:
    """An answer that is one of these problems, all of one status."""
    retried = any(PROBLEMS[code].status in RETRIED for code in codes)
    return {
        "description": " Or: ".join(PROBLEMS[code].when for code in codes),
        **({"headers": _headers("Retry-After")} if retried else {}),
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": REF.format(name="Problem")},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def name_of(place: Schema) -> str:
    """The name of the schema that a reference names."""
    return str(place["$ref"]).rpartition("/")[2]


def _in_path(name: str) -> Schema:
    description, schema = _PATH[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


def _in_query(name: str, of_field: Schema, required: bool) -> Schema:
    schema = {k: v for k, v in of_field.items() if k != "description"}
    described = {"description": of_field["description"]} if "description" in of_field else {}
    return {"name": name, "in": "query", "required": required, **described, "schema": schema}


def _success(operation: Operation, status: int, place: Schema | None) -> Schema:
    found: Schema = {"description": HTTPStatus(status).phrase}
    headers = ["ETag"] if operation.etag else []
    headers += ["Idempotency-Replayed"] if operation.idempotent else []
    headers += ["Location"] if operation.method == "POST" and operation.etag else []
    headers += (
        ["RateLimit-Policy", "RateLimit"] if RateLimitedError in operation.all_errors() else []
    )
    if headers:
        found["headers"] = _headers(*headers)
    if place is not None:
        media = "text/html" if operation.answers[status] is Html else "application/json"
        found["content"] = {media: {"schema": place}}
    return found


def _headers(*names: str) -> Schema:
    return {name: {"description": _HEADERS[name][0], "schema": _HEADERS[name][1]} for name in names}


def _example(code: str) -> Schema:
    of = PROBLEMS[code]
    example = {
        "type": TYPE_PREFIX + code,
        "title": of.title,
        "status": of.status,
        "detail": of.when,
    }
    if code == InvalidError.code:
        fault = {"pointer": "/body", "rule": "must not be blank"}
        return example | {"errors": [fault]}
    return example


def _camel(code: str) -> str:
    return "".join(part.title() for part in code.split("-"))
