"""One HTTP request as values. This module only parses; it raises `InvalidError` for what it cannot read."""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from urllib.parse import unquote

import chalice.app
import msgspec

from chalicelib.domain.errors import InvalidError, TooLargeError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.limits import (
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_NUMBER,
    MAX_REQUEST_BYTES,
    MAX_USER_CHARS,
)
from chalicelib.domain.models import UserName
from chalicelib.domain.requests import decode, from_text

_QUOTED_KEY = re.compile(r'"(?:[^"\\]|\\["\\])*"')
_ESCAPED = re.compile(r'\\(["\\])')
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Request:
    """The parts of Chalice's request."""

    def __init__(self, request: chalice.app.Request) -> None:
        self._request = request

    @property
    def method(self) -> str:
        method: str = self._request.method
        return method

    @property
    def route(self) -> str:
        """The path with names in place of values."""
        route: str = self._request.context["resourcePath"]
        return route

    @property
    def params(self) -> Mapping[str, str]:
        """The values in the path, by name, as they were sent."""
        return self._request.uri_params or {}

    @property
    def path(self) -> str:
        """The path as it was sent."""
        path = self.route
        for name, value in self.params.items():
            path = path.replace(f"{{{name}}}", value)
        return path

    @property
    def request_id(self) -> str | None:
        """API Gateway's id of the request."""
        id_: str | None = self._request.context.get("requestId")
        return id_

    @property
    def query_params(self) -> Mapping[str, str]:
        """The query parameters as text. If one was sent twice, this has one of its values."""
        return self._request.query_params or {}

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        value: str | None = self._request.headers.get(name)
        return value

    def query[T: msgspec.Struct](self, kind: type[T]) -> T:
        """The query parameters; each may be sent once."""
        sent = self._request.query_params
        if sent is None:
            return from_text({}, kind)
        for name in sent:
            if len(sent.getlist(name)) > 1:
                raise InvalidError(name, "must not be sent more than once")
        return from_text(dict(sent), kind)

    def body[T: msgspec.Struct](self, kind: type[T]) -> T:
        """The body, checked against its type. `check_request` checks the other rules."""
        return decode(self._raw_body, kind)

    def idempotency(self) -> IdempotencyKey | None:
        """The Idempotency-Key, with the fingerprint of this request."""
        text = self.header("idempotency-key")
        if text is None:
            return None
        key = parse_idempotency_key(text)
        digest = hashlib.sha256(f"{self.method} {self.path}\n".encode())
        digest.update(self._raw_body)
        return IdempotencyKey(key, digest.hexdigest())

    def if_match(self) -> int | None:
        """The revision in `If-Match`: the one that the client has seen."""
        text = self.header("if-match")
        if text is None or text.strip() == "*":
            return None
        return positive_int("If-Match", text.strip().strip('"'))

    @cached_property
    def _raw_body(self) -> bytes:
        raw = self._request.raw_body
        try:
            body: bytes = raw.encode() if isinstance(raw, str) else raw
        except UnicodeEncodeError:
            raise InvalidError("", "must be JSON in UTF-8") from None
        if len(body) > MAX_REQUEST_BYTES:
            raise TooLargeError(f"the body has more than {MAX_REQUEST_BYTES} bytes")
        return body


def parse_idempotency_key(text: str) -> str:
    """A key as it is, or as a string of structured fields (RFC 8941): between quotes."""
    key = text
    if text.startswith('"'):
        if not _QUOTED_KEY.fullmatch(text):
            raise InvalidError("Idempotency-Key", "must end with a quote if it begins with one")
        key = _ESCAPED.sub(r"\1", text[1:-1])
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not key.isprintable():
        rule = f"must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters"
        raise InvalidError("Idempotency-Key", rule)
    return key


def positive_int(name: str, text: str) -> int:
    """A number of a chat or a message, or a revision, from a path or a header."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= MAX_NUMBER):
        raise InvalidError(name, f"must be a whole number from 1 to {MAX_NUMBER}")
    return int(text)


def user_name(text: str) -> UserName:
    """The name of a user in a path. API Gateway leaves it percent-encoded."""
    try:
        name = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidError("user", "must be UTF-8, percent-encoded") from None
    if _BROKEN_ESCAPE.search(text):
        raise InvalidError("user", "must be percent-encoded: `%` is `%25`")
    if not 1 <= len(name) <= MAX_USER_CHARS or _CONTROL.search(name):
        rule = f"must have 1 to {MAX_USER_CHARS} characters and no control characters"
        raise InvalidError("user", rule)
    return UserName(name)
