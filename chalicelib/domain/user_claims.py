"""What a user token says: who the user is, until when, and what it may do.

A token is a JWT that the application's own server signs; `docs/credentials.md` tells how. Its signature
is checked elsewhere, and before anything here is told.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.domain.limits import (
    MAX_NUMBER,
    MAX_SENDER_CHARS,
    MAX_USER_TOKEN_SECONDS,
    USER_TOKEN_LEEWAY_SECONDS,
)
from chalicelib.domain.tenants import User

_SCOPES = {"read", "write"}

ChatNumber = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


class _Claims(msgspec.Struct, frozen=True):
    """Claims that are read; others, which RFC 7519 lets anyone add, are not."""

    sub: Annotated[str, Meta(min_length=1, max_length=MAX_SENDER_CHARS)]
    exp: float
    nbf: float | UnsetType = UNSET
    aud: Any = UNSET
    scope: str = "read write"
    chats: list[ChatNumber] | UnsetType = UNSET


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
