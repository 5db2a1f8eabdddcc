"""Idempotency-Keys: what is stored so that a retry gets the first response.

A retry sends the request again. So what the request itself contains is not stored: edits of long messages
would fill Redis for a day.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.domain.models import Chat, Message, Revision
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.rate_limits import Result


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A client's Idempotency-Key, and the fingerprint of its request.

    Each user has keys of their own: a user never gets the response to another user.
    """

    key: str
    fingerprint: str
    user: str | None = None


class IdempotentWrite(msgspec.Struct, frozen=True):
    """A change that goes straight to MySQL, with its Idempotency-Key.

    `scope` is the principal: an application's token, or `ADMIN`.
    """

    scope: str
    key: IdempotencyKey
    now_ms: int


class WriteResult[T](Result[T], frozen=True, kw_only=True):
    """The result of an operation that takes an Idempotency-Key.

    If `replayed`, an earlier request with the same key has done the work, and `value` is what that request
    got. `numbers` and `revision` are those of the accepted versions, the first revision of a batch. An
    application has neither.
    """

    replayed: bool
    numbers: NumberRange | None = None
    revision: Revision | None = None


# Not a token, because tokens are hexadecimal.
ADMIN = "admin"


# The fields that a request can change, and the values that replace them in a stored response.
_LEFT_OUT: dict[type, dict[str, Any]] = {
    Message: {"body": "", "metadata": None},
    Chat: {"title": None, "metadata": None},
}


def compact_for_replay[T: (Message, Chat)](version: T, change: Callable[[T], T]) -> T:
    """A changed version without the fields that `change` sets again, and without what no response shows."""
    version = replace(version, idempotency_key=None)
    if isinstance(version, Chat):
        version = replace(version, messages_lease=None)
    if version.deleted_at:
        return version
    left_out = _LEFT_OUT[type(version)]
    changed = change(replace(version, **left_out))
    return replace(
        version,
        **{f: v for f, v in left_out.items() if getattr(changed, f) == getattr(version, f)},
    )


def restore_for_replay[T: (Message, Chat)](
    stored: T, revision: Revision, change: Callable[[T], T]
) -> T:
    """The version of the first response: what was stored, and what `change` sets again."""
    stored = replace(stored, revision=revision)
    if stored.deleted_at:
        return stored
    changed = change(stored)
    missing = [f for f in _LEFT_OUT[type(stored)] if not getattr(stored, f)]
    return replace(stored, **{f: getattr(changed, f) for f in missing})
