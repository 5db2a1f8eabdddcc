"""Requests that are sent again, and what is stored so that a retry gets the first response."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.domain.models import Chat, Message
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.rate_limits import Result


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A client's Idempotency-Key and the fingerprint of the request that it came with.

    Each user has marks of its own: what one sent is never the answer to another.
    """

    key: str
    fingerprint: str
    user: str | None = None


class IdempotentWrite(msgspec.Struct, frozen=True):
    """A change that goes straight to MySQL and is to be made once.

    `scope` is who asks for it: an application's token, or `ADMIN`.
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
    revision: int | None = None


# No token: those are hexadecimal.
ADMIN = "admin"


# Requests that are sent again: what is kept of an edit so that a retry gets the same answer.
#
# A retry brings its request again, so what the request itself says is not kept: edits of long messages
# must not fill Redis for a day.

# What a request can change, and what stands for it where it is left out.
_LEFT_OUT: dict[type, dict[str, Any]] = {
    Message: {"body": "", "metadata": None},
    Chat: {"title": None, "metadata": None},
}


def compact_for_replay[T: (Message, Chat)](state: T, change: Callable[[T], T]) -> T:
    """A state that was changed, without what the change brings again and what no answer shows."""
    state = replace(state, idempotency_key=None)
    if isinstance(state, Chat):
        state = replace(state, messages_lease=None)
    if state.deleted_at:
        return state
    left_out = _LEFT_OUT[type(state)]
    brought = change(replace(state, **left_out))
    return replace(
        state,
        **{f: v for f, v in left_out.items() if getattr(brought, f) == getattr(state, f)},
    )


def restore_for_replay[T: (Message, Chat)](kept: T, revision: int, change: Callable[[T], T]) -> T:
    """The state as the first answer showed it: what was kept, and what the change brings again."""
    kept = replace(kept, revision=revision)
    if kept.deleted_at:
        return kept
    brought = change(kept)
    missing = [f for f in _LEFT_OUT[type(kept)] if not getattr(kept, f)]
    return replace(kept, **{f: getattr(brought, f) for f in missing})
