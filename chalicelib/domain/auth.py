"""Who sends a request, and what they may do: secret keys, and user tokens that are signed with them.

A secret key is `ok_<version>_<mac>`. `mac` is HMAC-SHA-256 over `<token>:<version>` with the master key,
in URL-safe base64 without padding. Keys are derived and never stored, so a check needs no look-up. But
anyone who has the master key can make every key. The script that serves a request checks that the key's
version is valid.

A user token is a JWT that the application's own server signs (`docs/credentials.md`).
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.errors import ForbiddenError, OrdinalError, UnauthenticatedError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.limits import (
    MAX_NUMBER,
    MAX_SENDER_CHARS,
    MAX_USER_TOKEN_SECONDS,
    USER_TOKEN_LEEWAY_SECONDS,
)
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.rate_limits import Bucket, Remaining

_PREFIX = "ok"
_MAX_KEY_CHARS = 128
_MAX_VERSION_DIGITS = 9
NOT_OF_APPLICATION = "the key does not belong to this application"


def derive_key(master_key: str, token: AppToken, version: int) -> str:
    """The secret key of an application in one version."""
    mac = hmac.new(master_key.encode(), f"{token}:{version}".encode(), hashlib.sha256).digest()
    return f"{_PREFIX}_{version}_{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def check_key(master_key: str, token: AppToken, key: str) -> int:
    """The version of a key. Raises `UnauthenticatedError` if the key does not belong to the application.

    The comparison takes constant time.
    """
    prefix, _, rest = key.partition("_")
    if prefix != _PREFIX or len(key) > _MAX_KEY_CHARS or not key.isascii():
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    version = key_version(rest.partition("_")[0])
    if not hmac.compare_digest(key.encode(), derive_key(master_key, token, version).encode()):
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    return version


def key_version(text: str) -> int:
    """The version that a key or a user token names. Raises `UnauthenticatedError` if it is not a number."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_VERSION_DIGITS):
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    return int(text)


def check_admin_key(admin_key: str, key: str) -> None:
    """Raises `UnauthenticatedError` if `key` is not the admin key."""
    # Half a surrogate pair has no UTF-8 form, and belongs to no key.
    sent = key.encode("utf-8", "surrogatepass")
    if not admin_key or not hmac.compare_digest(sent, admin_key.encode()):
        raise UnauthenticatedError("this operation needs the admin key")


class User(msgspec.Struct, frozen=True):
    """A user of an application, as a user token describes it.

    `name` is the sender of the user's messages. `chats` are the chats that the token is limited to; None
    means all chats.
    """

    name: str
    may_read: bool = True
    may_write: bool = True
    chats: frozenset[int] | None = None


class Tenant(msgspec.Struct, frozen=True):
    """An application that sent its secret key in this version, or a user token signed with that key.

    `user` is set for a user token. Each use case calls the `require` methods before it looks anything up, so
    a refusal says nothing about what exists.
    `buckets` are those of the rate limits; a request takes from them once, with its first script.
    """

    token: AppToken
    key_version: int
    buckets: tuple[Bucket, ...] = ()
    user: User | None = None

    def without_rate_limit(self) -> "Tenant":
        """The same tenant for the further scripts of a request that has already taken from the buckets."""
        return msgspec.structs.replace(self, buckets=())

    def require_key(self) -> None:
        """Raises `ForbiddenError` for a user."""
        if self.user:
            raise ForbiddenError("this operation needs the application's secret key")

    def require_read(self, chat: ChatNumber | None) -> None:
        """Raises `ForbiddenError` if the chat may not be read; None is the whole application."""
        self.require_scope("read")
        self._require_chat(chat)

    def require_write(self, chat: ChatNumber) -> None:
        """Raises `ForbiddenError` if messages of the chat may not be written."""
        self.require_scope("write")
        self._require_chat(chat)

    def require_scope(self, scope: str) -> None:
        """Raises `ForbiddenError` if a user's token does not have this scope: `read` or `write`."""
        allowed = self.user is None or (
            self.user.may_read if scope == "read" else self.user.may_write
        )
        if not allowed:
            raise ForbiddenError(f"the token does not have the scope {scope}", scope)

    def require_sender(self, sender: str | None) -> None:
        """Raises `ForbiddenError` if the sender of a message is not the user."""
        if self.user and sender != self.user.name:
            raise ForbiddenError("a user may only post, edit and delete their own messages")

    def require_reader(self, user: str) -> None:
        """Raises `ForbiddenError` if a read marker belongs to another user."""
        if self.user and user != self.user.name:
            raise ForbiddenError("a user may only access their own read marker")

    def scoped_to_user(self, idempotency: IdempotencyKey | None) -> IdempotencyKey | None:
        """The Idempotency-Key of the request. Each user has keys of their own."""
        return (
            msgspec.structs.replace(idempotency, user=self.user.name)
            if idempotency and self.user
            else idempotency
        )

    def _require_chat(self, chat: ChatNumber | None) -> None:
        chats = self.user.chats if self.user else None
        if chats is not None and chat not in chats:
            raise ForbiddenError(
                "this token is limited to specific chats"
                if chat is None
                else "this token does not allow access to this chat"
            )


_SCOPES = {"read", "write"}

_Chat = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


class _Claims(msgspec.Struct, frozen=True):
    """The claims that matter. Others are ignored (RFC 7519)."""

    sub: Annotated[str, Meta(min_length=1, max_length=MAX_SENDER_CHARS)]
    exp: float
    nbf: float | UnsetType = UNSET
    aud: Any = UNSET
    scope: str = "read write"
    chats: list[_Chat] | UnsetType = UNSET


def user_of(claims: bytes, now_ms: int) -> User:
    """The user that the claims of a user token describe. The caller has checked the signature.

    Raises `UnauthenticatedError`, which names the claim that is wrong.
    """
    try:
        decoded = msgspec.json.decode(claims, type=_Claims)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnauthenticatedError(f"the token's claims cannot be read: {error}") from None
    _check_times(decoded, now_ms / 1000)
    # A token for another service. This one has no name that a token could have.
    if decoded.aud is not UNSET:
        raise _refused("aud", "is not allowed")
    scopes = set(decoded.scope.split())
    if not scopes or scopes - _SCOPES:
        raise _refused("scope", "must be `read`, `write`, or `read write`")
    return User(
        name=decoded.sub,
        may_read="read" in scopes,
        may_write="write" in scopes,
        chats=None if isinstance(decoded.chats, UnsetType) else frozenset(decoded.chats),
    )


def _check_times(claims: _Claims, now: float) -> None:
    early, late = now - USER_TOKEN_LEEWAY_SECONDS, now + USER_TOKEN_LEEWAY_SECONDS
    if claims.exp <= early:
        raise _refused("exp", "is in the past")
    if claims.exp > late + MAX_USER_TOKEN_SECONDS:
        days = MAX_USER_TOKEN_SECONDS // (24 * 3600)
        raise _refused("exp", f"must not be more than {days} days in the future")
    if claims.nbf is not UNSET and claims.nbf > late:
        raise _refused("nbf", "is in the future")


def _refused(claim: str, rule: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"the token's claim `{claim}` {rule}")


@contextmanager
def remaining_on_errors(remaining: tuple[Remaining, ...]) -> Iterator[None]:
    """Errors that leave this block get the request's `remaining`: their responses show it as well."""
    try:
        yield
    except OrdinalError as error:
        error.remaining = error.remaining or remaining
        raise
