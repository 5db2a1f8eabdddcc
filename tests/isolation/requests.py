"""A request for every route, made from the declaration of its endpoint, so that a new route is tested too.

An endpoint with an unknown parameter or an unknown required query field fails the tests: add a value here.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from chalicelib.entrypoints.http.endpoint import OPERATIONS, Operation
from chalicelib.entrypoints.http.openapi.document import EXAMPLES

# The numbers that the victim has, and numbers that it does not have. No response shows whether ann exists.
EXISTING = {"chat": "1", "number": "1", "user": "ann"}
MISSING = {"chat": "999999999", "number": "999999999", "user": "ann"}
_QUERY = {"q": "needle"}


class Request(msgspec.Struct, frozen=True):
    """The request to send."""

    method: str
    path: str
    body: Any = None


def of_tenants() -> list[Operation]:
    """Every operation on an application or on a part of it."""
    import app  # noqa: F401 - registers the endpoints

    return [operation for operation in OPERATIONS if "{token}" in operation.path]


def request_of(operation: Operation, token: str, values: Mapping[str, str]) -> Request:
    """A valid request to the operation, with these values in its path."""
    path = operation.path.format(token=token, **values)
    query = {name: _QUERY[name] for name, required in _fields(operation).items() if required}
    path += f"?{urlencode(query)}" if query else ""
    body = EXAMPLES[operation.body] if operation.body else None
    return Request(operation.method, path, body)


def lists() -> list[Operation]:
    """Every operation that responds with pages."""
    return [operation for operation in of_tenants() if "limit" in _fields(operation)]


def _fields(operation: Operation) -> dict[str, bool]:
    """The query parameters of an operation, and whether each is required."""
    fields = msgspec.structs.fields(operation.query) if operation.query else ()
    return {field.encode_name: field.required for field in fields}
