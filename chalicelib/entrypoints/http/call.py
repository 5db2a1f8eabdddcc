"""Reading a request: who sends it, its body, parameters and headers."""

import hashlib
import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

import msgspec
from chalice.app import Request

from chalicelib.bootstrap import LiveWorld
from chalicelib.domain.errors import InvalidError, UnauthenticatedError
from chalicelib.domain.keys import check_admin_key, check_key
from chalicelib.domain.limits import (
    DEFAULT_PAGE_ITEMS,
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_NUMBER,
    MAX_PAGE_ITEMS,
)
from chalicelib.domain.numbering import Accepted, IdempotencyMark, Page
from chalicelib.domain.pages import Listed
from chalicelib.domain.records import Chat, Message
from chalicelib.domain.requests import check_request
from chalicelib.domain.tenants import Tenant
from chalicelib.domain.times import rfc3339

_TOKEN = re.compile(r"[0-9a-f]{30}")
_FIELD = re.compile(r" - at `\$([^`]*)`$")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_MISSING_FIELD = re.compile(r"missing required field `([^`]*)`")


class Call:
    """One request, with what doors ask of it. Every method that can refuse raises a domain error."""

    def __init__(self, request: Request, world: LiveWorld) -> None:
        self._request = request
        self.world = world
        self.now = rfc3339(self.world.clock.now_ms())
        self.began = perf_counter()
        self.noted: dict[str, Any] = {}

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
        self.note(first=first, last=last, revision=revision, replayed=accepted.replayed)

    def changed(self, state: Message | Chat) -> None:
        """Note which state was accepted."""
        self.note(first=state.number, last=state.number, revision=state.revision)

    def tenant(self, token: str) -> Tenant:
        """The application whose secret key this is."""
        master_key = self.world.settings.need("master_key")
        return Tenant(token, check_key(master_key, _checked_token(token), self._credential()))

    def admin(self) -> None:
        check_admin_key(self.world.settings.need("admin_key"), self._credential())

    def tenant_or_admin(self, token: str) -> Tenant | None:
        """None for the admin."""
        if self._credential().startswith("ok_"):
            return self.tenant(token)
        self.admin()
        return None

    def _credential(self) -> str:
        header: str = self._request.headers.get("authorization", "")
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise UnauthenticatedError("send `Authorization: Bearer <key>`")
        return key.strip()

    def body[T: msgspec.Struct](self, kind: type[T]) -> T:
        """The request's body, checked against all rules."""
        try:
            request = msgspec.json.decode(self._raw_body(), type=kind)
        except msgspec.ValidationError as error:
            raise _fault(str(error)) from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidError("", f"must be JSON in UTF-8: {error}") from None
        except RecursionError:
            raise InvalidError("", "is nested too deeply") from None
        check_request(request, self.now)  # type: ignore[arg-type]
        return request

    def _raw_body(self) -> bytes:
        raw = self._request.raw_body
        try:
            return raw.encode() if isinstance(raw, str) else raw
        except UnicodeEncodeError:
            raise InvalidError("", "must be JSON in UTF-8") from None

    def mark(self) -> IdempotencyMark | None:
        """The Idempotency-Key with the fingerprint of this request."""
        key = self._request.headers.get("idempotency-key")
        if key is None:
            return None
        if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not key.isprintable():
            raise InvalidError(
                "Idempotency-Key",
                f"must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters",
            )
        digest = hashlib.sha256(f"{self._request.method} {self._path()}\n".encode())
        digest.update(self._raw_body())
        return IdempotencyMark(key, digest.hexdigest())

    def if_match(self) -> int | None:
        """The revision that the client names as the one it has seen."""
        text = self._request.headers.get("if-match")
        if text is None or text.strip() == "*":
            return None
        return _whole("If-Match", text.strip().strip('"'))

    def query(self, *allowed: str) -> Mapping[str, str]:
        """The query parameters; others than `allowed` are refused."""
        given: Mapping[str, str] = self._request.query_params or {}
        for name in given:
            if name not in allowed:
                known = ", ".join(allowed) or "none"
                raise InvalidError(name, f"is not a parameter here; known are: {known}")
        return given

    def page(self) -> Page:
        query = self.query("before", "after", "limit")
        before, after = query.get("before"), query.get("after")
        return Page(
            limit=page_limit(query),
            before=None if before is None else _whole("before", before),
            after=None if after is None else _whole("after", after, least=0),
        )

    def after[T](self, page: Page, listed: Listed[T]) -> str | None:
        """The path of the page that comes after this one of a list."""
        if listed.more_from is None:
            return None
        name = "after" if page.ascending else "before"
        return self.next_url(**{name: listed.more_from})

    def next_url(self, **changed: str | int | None) -> str:
        """The path of the next page: this one's, with the changed parameters."""
        query = {**(self._request.query_params or {}), **changed}
        return f"{self._path()}?{urlencode({k: v for k, v in query.items() if v is not None})}"

    def _path(self) -> str:
        path = self.route
        for name, value in (self._request.uri_params or {}).items():
            path = path.replace(f"{{{name}}}", value)
        return path


def path_number(text: str) -> int:
    """The number of a chat or a message in a path."""
    return _whole("number", text)


def page_limit(query: Mapping[str, str]) -> int:
    """How many items a page may have."""
    text = query.get("limit")
    return DEFAULT_PAGE_ITEMS if text is None else _whole("limit", text, most=MAX_PAGE_ITEMS)


def _whole(name: str, text: str, least: int = 1, most: int = MAX_NUMBER) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise InvalidError(name, f"must be a whole number from {least} to {most}")
    return int(text)


def _checked_token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise UnauthenticatedError("the key is not one of this application")
    return token


def _fault(text: str) -> InvalidError:
    """msgspec's message (`Expected `str` … - at `$.messages[3].body``) as a pointer and a rule."""
    at = _FIELD.search(text)
    steps = re.findall(r"[^.\[\]]+", at[1]) if at else []
    rule = _FIELD.sub("", text)
    if field := (_UNKNOWN_FIELD.search(rule) or _MISSING_FIELD.search(rule)):
        steps.append(field[1])
    return InvalidError("".join(f"/{s}" for s in steps), rule)
