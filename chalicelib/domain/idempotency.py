"""Idempotency-Keys: what is stored so that a retry gets the first response.

No text is stored: edits of long messages would fill Redis for a day, and the text of a deleted message would
stay there. A retry finds the version by its number, or brings the text itself.
"""

import msgspec

from chalicelib.domain.models import Revision
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
