"""A request as a value, and how the client reads its response. `transports.py` sends it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from ordinal_client.errors import UnexpectedResponseError, problem_from
from ordinal_client.models import Page

Parameters = Mapping[str, str | int | datetime | None]
JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Request[T]:
    """One request. It stays the same in all attempts, and so does its `Idempotency-Key`.

    `response_type` is the type of the body of a success, and `decode` reads the body if msgspec alone
    cannot. `also_ok` is an error status whose body has this type too.
    """

    method: str
    path: str
    response_type: type[T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    also_ok: int | None = None
    decode: Callable[[bytes], T] | None = None

    def httpx_kwargs(self) -> dict[str, Any]:
        """The arguments of `httpx.Client.build_request`."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self.query or None,  # an empty mapping would remove the query of `next`
            "headers": self.headers,
            "content": self.content,
        }

    def read(self, response: httpx.Response) -> T:
        """Return the body of the response. Raises `ProblemError`, `UnexpectedResponseError`."""
        if not response.is_success and response.status_code != self.also_ok:
            raise problem_from(response)
        content = response.content or b"null"  # a response of type None has no body
        try:
            if self.decode:
                return self.decode(content)
            return msgspec.json.decode(content, type=self.response_type)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not response.is_success:
                raise problem_from(response) from None
            reason = f"the response from {response.url} does not come from Ordinal"
            raise UnexpectedResponseError(f"{reason}: {error}") from None


def next_page[T](request: Request[Page[T]], page: Page[T]) -> Request[Page[T]] | None:
    """The request for the next page; None after the last page."""
    return replace(request, path=page.next, query={}) if page.next else None


def read_request[T](
    path: str,
    response_type: type[T],
    parameters: Parameters | None = None,
    decode: Callable[[bytes], T] | None = None,
) -> Request[T]:
    """A GET request. It leaves out parameters that are None."""
    query = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (parameters or {}).items()
        if value is not None
    }
    return Request("GET", path, response_type, query=query, decode=decode)


def write_request[T](
    method: str,
    path: str,
    response_type: type[T],
    body: object,
    idempotency_key: str | None,
    if_match: int | None = None,
) -> Request[T]:
    """A request that changes something, with an `Idempotency-Key`. A body of None sends no body."""
    headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if body is None:
        return Request(method, path, response_type, headers=headers)
    content = msgspec.json.encode(body)
    return Request(
        method, path, response_type, headers={**headers, **JSON_HEADERS}, content=content
    )
