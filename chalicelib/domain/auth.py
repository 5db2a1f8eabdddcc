"""Who makes a request, and what it may do: secret keys of applications, and user tokens signed with them."""

import base64
import hashlib
import hmac
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.errors import ForbiddenError, UnauthenticatedError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.limits import (
    MAX_NUMBER,
    MAX_SENDER_CHARS,
    MAX_USER_TOKEN_SECONDS,
    USER_TOKEN_LEEWAY_SECONDS,
)
from chalicelib.domain.rate_limits import Bucket

# Secret keys of applications. They are derived, never stored: whoever holds the master key can make them.
#
# A key is `ok_<version>_<mac>`, where `mac` is HMAC-SHA-256 over `<token>:<version>` with the master key,
# in URL-safe base64 without padding. To check one takes no look-up; whether its version is still valid is
# checked by the script that serves the request.

_PREFIX = "ok"
_MAX_KEY_CHARS = 128
_MAX_VERSION_DIGITS = 9
NOT_OF_APPLICATION = "the key does not belong to this application"


def derive_key(master_key: str, token: str, version: int) -> str:
    """The secret key of an application in one version."""
    mac = hmac.new(master_key.encode(), f"{token}:{version}".encode(), hashlib.sha256).digest()
    return f"{_PREFIX}_{version}_{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def check_key(master_key: str, token: str, key: str) -> int:
    """The version of a key that fits this application; raises `UnauthenticatedError` otherwise.

    The comparison takes the same time wherever the difference is.
    """
    prefix, _, rest = key.partition("_")
    if prefix != _PREFIX or len(key) > _MAX_KEY_CHARS:
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    version = key_version(rest.partition("_")[0])
    if not hmac.compare_digest(key.encode(), derive_key(master_key, token, version).encode()):
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    return version


def key_version(text: str) -> int:
    """The version that a key or a token names. Raises `UnauthenticatedError` where it is no number."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_VERSION_DIGITS):
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    return int(text)


def check_admin_key(admin_key: str, key: str) -> None:
    """Raises `UnauthenticatedError` unless `key` is the admin key."""
    if not admin_key or not hmac.compare_digest(key.encode(), admin_key.encode()):
        raise UnauthenticatedError("this needs the admin key")


# Who makes a request, and what it may do: an application by its secret key, or one of its users.


class User(msgspec.Struct, frozen=True):
    """A user of an application, as a token that the application signed says it.

    `name` is the sender of what the user posts. `chats` are the only chats that the token opens; None
    means all of them.
    """

    name: str
    may_read: bool = True
    may_write: bool = True
    chats: frozenset[int] | None = None


class Tenant(msgspec.Struct, frozen=True):
    """An application whose secret key fits, in the version that the key has.

    `user` is set where it was not the key itself that came, but a token that was signed with it. Each
    use case asks here first, before it looks anything up: so a refusal tells nothing of what is there.
    `buckets` are those of the rate limits; a request takes from them once, with its first script.
    """

    token: str
    key_version: int
    buckets: tuple[Bucket, ...] = ()
    user: User | None = None

    def without_rate_limit(self) -> "Tenant":
        """The same tenant for the further scripts of a request that has already taken from the buckets."""
        return msgspec.structs.replace(self, buckets=())

    def require_key(self) -> None:
        """Raises `ForbiddenError` where this is a user."""
        if self.user:
            raise ForbiddenError("this needs the application's secret key")

    def require_read(self, chat: int | None) -> None:
        """Raises `ForbiddenError` unless the chat may be read; None is the whole application."""
        self.require_scope("read")
        self._require_chat(chat)

    def require_write(self, chat: int) -> None:
        """Raises `ForbiddenError` unless messages of the chat may be written."""
        self.require_scope("write")
        self._require_chat(chat)

    def require_scope(self, scope: str) -> None:
        """Raises `ForbiddenError` where a user's token has not this scope, `read` or `write`."""
        allowed = self.user is None or (
            self.user.may_read if scope == "read" else self.user.may_write
        )
        if not allowed:
            raise ForbiddenError(f"the token has not the scope {scope}", scope)

    def require_sender(self, sender: str | None) -> None:
        """Raises `ForbiddenError` where the message is, or would be, another's than the user's."""
        if self.user and sender != self.user.name:
            raise ForbiddenError("users write, edit and delete messages of their own only")

    def require_reader(self, user: str) -> None:
        """Raises `ForbiddenError` where a read marker is another's than the user's."""
        if self.user and user != self.user.name:
            raise ForbiddenError("users have to do with the read marker of their own only")

    def scoped_to_user(self, idempotency: IdempotencyKey | None) -> IdempotencyKey | None:
        """The mark of a request: each user has marks of its own."""
        return (
            msgspec.structs.replace(idempotency, user=self.user.name)
            if idempotency and self.user
            else idempotency
        )

    def _require_chat(self, chat: int | None) -> None:
        chats = self.user.chats if self.user else None
        if chats is not None and chat not in chats:
            where = "this, but only single chats" if chat is None else "this chat"
            raise ForbiddenError(f"the token does not open {where}")


# What a user token says: who the user is, until when, and what it may do.
#
# A token is a JWT that the application's own server signs; `docs/credentials.md` tells how. Its signature
# is checked elsewhere, and before anything here is told.

_SCOPES = {"read", "write"}

_Chat = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


class _Claims(msgspec.Struct, frozen=True):
    """Claims that are read; others, which RFC 7519 lets anyone add, are not."""

    sub: Annotated[str, Meta(min_length=1, max_length=MAX_SENDER_CHARS)]
    exp: float
    nbf: float | UnsetType = UNSET
    aud: Any = UNSET
    scope: str = "read write"
    chats: list[_Chat] | UnsetType = UNSET


def user_of(claims: bytes, now_ms: int) -> User:
    """The user that a token's JSON names. Raises `UnauthenticatedError` that names the faulty claim."""
    try:
        found = msgspec.json.decode(claims, type=_Claims)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnauthenticatedError(f"the token's claims cannot be read: {error}") from None
    _check_times(found, now_ms / 1000)
    # Whoever is named there is not this service: it has no name that tokens know.
    if found.aud is not UNSET:
        raise _refused("aud", "must not be there")
    scopes = set(found.scope.split())
    if not scopes or scopes - _SCOPES:
        raise _refused("scope", "must be read, write, or both with a space between")
    return User(
        name=found.sub,
        may_read="read" in scopes,
        may_write="write" in scopes,
        chats=None if isinstance(found.chats, UnsetType) else frozenset(found.chats),
    )


def _check_times(claims: _Claims, now: float) -> None:
    early, late = now - USER_TOKEN_LEEWAY_SECONDS, now + USER_TOKEN_LEEWAY_SECONDS
    if claims.exp <= early:
        raise _refused("exp", "is over")
    if claims.exp > late + MAX_USER_TOKEN_SECONDS:
        days = MAX_USER_TOKEN_SECONDS // (24 * 3600)
        raise _refused("exp", f"must not be more than {days} days ahead")
    if claims.nbf is not UNSET and claims.nbf > late:
        raise _refused("nbf", "has not come yet")


def _refused(claim: str, rule: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"the token's claim `{claim}` {rule}")
