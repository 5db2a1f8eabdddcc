"""Parts of the OpenAPI document: the parameters of an operation, and its responses."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from chalicelib.domain.errors import InvalidError, RateLimitedError
from chalicelib.domain.limits import MAX_IDEMPOTENCY_KEY_CHARS, MAX_NUMBER, MAX_USER_CHARS
from chalicelib.entrypoints.http.endpoint import Html, Operation
from chalicelib.entrypoints.http.problems import (
    CONTENT_TYPE,
    PROBLEMS,
    RETRYABLE_STATUSES,
    TYPE_PREFIX,
)

REF = "#/components/schemas/{name}"

Schema = dict[str, Any]
# The reference to the schema of each type.
SchemaRefs = Mapping[Any, Schema]

_NUMBER = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
_PATH: dict[str, tuple[str, Schema]] = {
    "token": ("The application's token.", {"type": "string", "pattern": "^[0-9a-f]{30}$"}),
    "chat": ("The chat's number.", _NUMBER),
    "number": ("The message's number.", _NUMBER),
    "user": (
        "The user's name as the application knows it, percent-encoded, without control characters.",
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
    "description": "Makes it safe to send the request again: for 24 hours, the same request with the same "
    "key gets the first response.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_CHARS},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` that the client has seen; 412 if it is not the current one.",
    "schema": {"type": "string", "pattern": '^([*]|"?[1-9][0-9]{0,14}"?)$'},
}
_HEADERS: dict[str, tuple[str, Schema]] = {
    "ETag": ("Names the version, for `If-Match`.", {"type": "string"}),
    "Location": ("The path of what was created.", {"type": "string"}),
    "Idempotency-Replayed": (
        "`true` if this is the response of an earlier request with the same key.",
        {"type": "string", "enum": ["true"]},
    ),
    "RateLimit-Policy": (
        "The limit: how many requests may come at once (`q`), in a window of `w` seconds.",
        {"type": "string"},
    ),
    "RateLimit": (
        "How many requests are left (`r`), and the seconds until all are available again (`t`).",
        {"type": "string"},
    ),
    "Retry-After": ("The seconds to wait before the next attempt.", {"type": "integer"}),
}
# Problems that API Gateway and Chalice can return for any path.
_ALWAYS = ("bad-request", "request-too-large", "internal", "unavailable", "timed-out")


def parameters(
    operation: Operation, refs: SchemaRefs, schemas: Mapping[str, Schema]
) -> list[Schema]:
    """The parameters in the path, the query and the headers."""
    taken = [_in_path(name) for name in re.findall(r"{(\w+)}", operation.path)]
    if operation.query:
        schema = schemas[component_name(refs[operation.query])]
        taken += [
            _in_query(name, field, name in schema["required"])
            for name, field in schema["properties"].items()
        ]
    if operation.idempotent:
        taken.append(_IDEMPOTENCY_KEY)
    if operation.if_match:
        taken.append(_IF_MATCH)
    return taken


def responses(
    operation: Operation, refs: SchemaRefs, components: dict[str, Schema]
) -> dict[str, Schema]:
    """The responses by status, successes first. Problems are added to `components` and referenced."""
    described = {
        str(status): _success(operation, status, refs.get(kind))
        for status, kind in operation.responses.items()
    }
    codes = [error.code for error in operation.all_errors()]
    codes += [*_ALWAYS, *(["unsupported-media-type"] if operation.body else [])]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes_of_status in sorted(by_status.items()):
        name = "Or".join(_camel(code) for code in codes_of_status)
        components.setdefault(name, _problem_response(codes_of_status))
        described.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
    return described


def _problem_response(codes: Sequence[str]) -> Schema:
    """A response that is one of these problems, which all have one status."""
    retryable = any(PROBLEMS[code].status in RETRYABLE_STATUSES for code in codes)
    return {
        "description": " Or: ".join(PROBLEMS[code].when for code in codes),
        **({"headers": _headers("Retry-After")} if retryable else {}),
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": REF.format(name="Problem")},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def component_name(ref: Schema) -> str:
    """The name of the schema in a reference."""
    return str(ref["$ref"]).rpartition("/")[2]


def _in_path(name: str) -> Schema:
    description, schema = _PATH[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


def _in_query(name: str, field: Schema, required: bool) -> Schema:
    schema = {k: v for k, v in field.items() if k != "description"}
    described = {"description": field["description"]} if "description" in field else {}
    return {"name": name, "in": "query", "required": required, **described, "schema": schema}


def _success(operation: Operation, status: int, ref: Schema | None) -> Schema:
    described: Schema = {"description": HTTPStatus(status).phrase}
    headers = ["ETag"] if operation.etag else []
    headers += ["Idempotency-Replayed"] if operation.idempotent else []
    headers += ["Location"] if operation.location else []
    headers += (
        ["RateLimit-Policy", "RateLimit"] if RateLimitedError in operation.all_errors() else []
    )
    if headers:
        described["headers"] = _headers(*headers)
    if ref is not None:
        media = "text/html" if operation.responses[status] is Html else "application/json"
        described["content"] = {media: {"schema": ref}}
    return described


def _headers(*names: str) -> Schema:
    return {name: {"description": _HEADERS[name][0], "schema": _HEADERS[name][1]} for name in names}


def _example(code: str) -> Schema:
    kind = PROBLEMS[code]
    example = {
        "type": TYPE_PREFIX + code,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.when,
    }
    if code == InvalidError.code:
        violation = {"pointer": "/body", "rule": "must not be blank"}
        return example | {"errors": [violation]}
    return example


def _camel(code: str) -> str:
    return "".join(part.title() for part in code.split("-"))
