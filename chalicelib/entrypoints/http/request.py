"""One request: its parts as values, what is noted of it for the log, and its rate headers."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NewType
from urllib.parse import unquote, urlencode

import msgspec
from chalice.app import Request

from chalicelib.bootstrap import Adapters
from chalicelib.domain.auth import Tenant, User
from chalicelib.domain.errors import InvalidError, TooLargeError
from chalicelib.domain.idempotency import ADMIN, IdempotencyKey, IdempotentWrite
from chalicelib.domain.leases import Accepted
from chalicelib.domain.limits import (
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_NUMBER,
    MAX_REQUEST_BYTES,
    MAX_USER_CHARS,
)
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import Page, PageRequest
from chalicelib.domain.rate_limits import Remaining
from chalicelib.domain.requests import check_request
from chalicelib.domain.times import rfc3339
from chalicelib.domain.validation import decode, from_text

# What an answer says of the limits: `RateLimit-Policy` and `RateLimit`.
#
# As in draft-ietf-httpapi-ratelimit-headers-10. The window is the time in which an empty bucket fills.


def rate_headers(left: Sequence[Remaining]) -> dict[str, str]:
    """The narrowest bucket: its size and the seconds in which it fills, what is left, and when it is full.

    So a user learns nothing of what others of the application do.
    """
    if not left:
        return {}
    last = left[-1]
    bucket = last.bucket
    window = math.ceil(bucket.size / bucket.rate)
    return {
        "RateLimit-Policy": f'"{bucket.name}";q={bucket.size};w={window}',
        "RateLimit": f'"{bucket.name}";r={last.left};t={math.ceil(last.full_in_ms / 1000)}',
    }


# One request: its parts as values, and what is noted of it for the log.

_QUOTED_KEY = re.compile(r'"(?:[^"\\]|\\["\\])*"')
_ESCAPED = re.compile(r'\\(["\\])')

UserName = NewType("UserName", str)

_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Call:
    """What a door is asked. Every method that can refuse raises a domain error.

    `sender` is the tenant that the credential belongs to; None for the admin and at open doors.
    """

    def __init__(self, request: Request, ports: Adapters) -> None:
        self._request = request
        self.ports = ports
        self.now = rfc3339(self.ports.clock.now_ms())
        self.began = perf_counter()
        self.noted: dict[str, Any] = {}
        self.sender: Tenant | None = None
        self._is_replay = False

    @property
    def tenant(self) -> Tenant:
        """The tenant, at doors that only tenants pass."""
        assert self.sender is not None
        return self.sender

    @property
    def user(self) -> User | None:
        """The user whose token came, if one did."""
        return self.sender.user if self.sender else None

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
    def request_id(self) -> str | None:
        """API Gateway's id of the request."""
        id_: str | None = self._request.context.get("requestId")
        return id_

    def note(self, **fields: Any) -> None:
        """Add fields to the request's line in the log: never content or a credential."""
        self.noted |= fields

    def accepted(self, accepted: Accepted) -> None:
        """Note which numbers were given."""
        first, last, revision = accepted.first, accepted.last, accepted.revision
        self.note(first=first, last=last, revision=revision)
        self.replayed(accepted.replayed)

    def changed(self, state: Message | Chat, replayed: bool) -> None:
        """Note which state was accepted."""
        self.note(first=state.number, last=state.number, revision=state.revision)
        self.replayed(replayed)

    def replayed(self, is_replay: bool) -> None:
        """Note whether the request is answered with what its Idempotency-Key got before."""
        self.note(replayed=is_replay)
        self._is_replay = is_replay

    def headers(self) -> dict[str, str]:
        """What every answer to this request says beside its own headers."""
        rate_limit = self.sender.rate_limit if self.sender else None
        found = rate_headers(rate_limit.left) if rate_limit else {}
        return found | ({"Idempotency-Replayed": "true"} if self._is_replay else {})

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        value: str | None = self._request.headers.get(name)
        return value

    def body[T: msgspec.Struct](self, kind: type[T]) -> T:
        """The request's body, checked against all rules."""
        request = decode(self._raw_body, kind)
        check_request(request, self.now, self.user)  # type: ignore[arg-type]
        return request

    def query[T: msgspec.Struct](self, kind: type[T]) -> T:
        """The query parameters, each given once."""
        given = self._request.query_params
        if given is None:
            return from_text({}, kind)
        for name in given:
            if len(given.getlist(name)) > 1:
                raise InvalidError(name, "must be given once")
        return from_text(dict(given), kind)

    def idempotency(self) -> IdempotencyKey | None:
        """The Idempotency-Key with the fingerprint of this request."""
        text = self.header("idempotency-key")
        if text is None:
            return None
        key = idempotency_key(text)
        digest = hashlib.sha256(f"{self.method} {self._path}\n".encode())
        digest.update(self._raw_body)
        return IdempotencyKey(key, digest.hexdigest())

    def idempotent_write(self) -> IdempotentWrite | None:
        """The same for a change that goes straight to MySQL."""
        key, scope = self.idempotency(), self.sender.token if self.sender else ADMIN
        return IdempotentWrite(scope, key, self.ports.clock.now_ms()) if key else None

    def if_match(self) -> int | None:
        """The revision that the client names as the one it has seen."""
        text = self.header("if-match")
        if text is None or text.strip() == "*":
            return None
        return whole_number("If-Match", text.strip().strip('"'))

    def after[T](self, page: PageRequest, listed: Page[T]) -> str | None:
        """The path of the page that comes after this one of a list."""
        if listed.next_cursor is None:
            return None
        name = "after" if page.ascending else "before"
        return self.next_url(**{name: listed.next_cursor})

    def next_url(self, **changed: str | int | None) -> str:
        """The path of the next page: this one's, with the changed parameters."""
        query = {**(self._request.query_params or {}), **changed}
        return f"{self._path}?{urlencode({k: v for k, v in query.items() if v is not None})}"

    @property
    def params(self) -> Mapping[str, str]:
        """What stands in the path, by name."""
        return self._request.uri_params or {}

    @property
    def _path(self) -> str:
        path = self.route
        for name, value in self.params.items():
            path = path.replace(f"{{{name}}}", value)
        return path

    @cached_property
    def _raw_body(self) -> bytes:
        raw = self._request.raw_body
        try:
            body: bytes = raw.encode() if isinstance(raw, str) else raw
        except UnicodeEncodeError:
            raise InvalidError("", "must be JSON in UTF-8") from None
        if len(body) > MAX_REQUEST_BYTES:
            raise TooLargeError(f"the body is over {MAX_REQUEST_BYTES} bytes")
        return body


def idempotency_key(text: str) -> str:
    """A key as it is, or as a string of structured fields (RFC 8941): between quotes."""
    key = text
    if text.startswith('"'):
        if not _QUOTED_KEY.fullmatch(text):
            raise InvalidError("Idempotency-Key", "must end with the quote that it begins with")
        key = _ESCAPED.sub(r"\1", text[1:-1])
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not key.isprintable():
        rule = f"must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters"
        raise InvalidError("Idempotency-Key", rule)
    return key


def whole_number(name: str, text: str) -> int:
    """A number of a chat or a message, or a revision, where it is given as text."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= MAX_NUMBER):
        raise InvalidError(name, f"must be a whole number from 1 to {MAX_NUMBER}")
    return int(text)


def user_name(text: str) -> UserName:
    """The name of a user in a path, where API Gateway leaves it as it was sent: percent-encoded."""
    try:
        name = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidError("user", "must be UTF-8, percent-encoded") from None
    if _NO_ESCAPE.search(text):
        raise InvalidError("user", "must be percent-encoded: `%` is `%25`")
    if not 1 <= len(name) <= MAX_USER_CHARS or _CONTROL.search(name):
        raise InvalidError(
            "user", f"must have 1 to {MAX_USER_CHARS} characters, none of them a control character"
        )
    return UserName(name)
