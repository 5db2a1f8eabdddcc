"""A request for every route, made from how its door declares it: a new route is asked like all others.

A door with a parameter or a required query field that is not known here fails the tests: say what to
ask it for.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from chalicelib.entrypoints.http.endpoint import OPERATIONS
from chalicelib.entrypoints.http.openapi.document import EXAMPLES
from chalicelib.entrypoints.http.operation import Operation

# What the victim has, and what nobody has. Whether ann is there is nothing that anybody is told.
THERE = {"chat": "1", "number": "1", "user": "ann"}
NOT_THERE = {"chat": "999999999", "number": "999999999", "user": "ann"}
_QUERY = {"q": "needle"}


class Request(msgspec.Struct, frozen=True):
    """What is sent."""

    method: str
    path: str
    body: Any = None


def of_tenants() -> list[Operation]:
    """Every operation on an application or something in it."""
    import app  # noqa: F401 - registers the doors

    return [operation for operation in OPERATIONS if "{token}" in operation.path]


def request_of(operation: Operation, token: str, values: Mapping[str, str]) -> Request:
    """A right request to the operation, with these values in its path."""
    path = operation.path.format(token=token, **values)
    query = {name: _QUERY[name] for name, required in _fields(operation).items() if required}
    path += f"?{urlencode(query)}" if query else ""
    body = EXAMPLES[operation.body] if operation.body else None
    return Request(operation.method, path, body)


def lists() -> list[Operation]:
    """Every operation that answers page by page."""
    return [operation for operation in of_tenants() if "limit" in _fields(operation)]


def _fields(operation: Operation) -> dict[str, bool]:
    """The query parameters of an operation, and whether each is required."""
    fields = msgspec.structs.fields(operation.query) if operation.query else ()
    return {field.encode_name: field.required for field in fields}
