"""The tree of errors. Vendor errors become one of these in the adapters; the doors map each to an answer.

OrdinalError
 ├─ InvalidError            the request breaks rules; names the fields
 ├─ TooLargeError           the request's body is larger than can be taken
 ├─ UnauthenticatedError    no credential, or one that does not fit
 ├─ ForbiddenError          the credential fits, and does not allow this
 ├─ NotFoundError           there is no such thing
 ├─ GoneError               there was such a thing, and it was deleted
 ├─ ConflictError           someone else changes it at this moment; try again
 ├─ RevisionMismatchError   the state is not the one that `If-Match` names
 ├─ KeyReusedError          the Idempotency-Key was used for another request
 ├─ InProgressError         the first request with this Idempotency-Key is still under way
 ├─ RateLimitedError        the application or the user asks for too much; try again later
 ├─ UnavailableError        a part is away or slow; trying again can help
 │   └─ BackpressureError        too much is waiting to be persisted
 └─ PoisonError             a record that can never be persisted or indexed
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from chalicelib.domain.rate_limits import Remaining

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class OrdinalError(Exception):
    """Base of all errors that the domain knows.

    `code` is stable and public. If `retryable`, the same request can succeed later. `remaining` is what is
    left in the buckets of the request's rate limits, if the request has taken from them.
    """

    code = "internal"
    retryable = False
    remaining: tuple[Remaining, ...] = ()


class Violation(msgspec.Struct, frozen=True):
    """A field that breaks a rule.

    `pointer` is the JSON pointer of the field in the body, or the name of the parameter or header.
    """

    pointer: str
    rule: str


class InvalidError(OrdinalError):
    """The request breaks a rule, or several: `faults` names each of them that was found."""

    code = "invalid-request"

    def __init__(self, pointer: str, rule: str, *others: Violation) -> None:
        self.violations = (Violation(pointer, rule), *others)
        super().__init__("; ".join(f"{v.pointer}: {v.rule}" for v in self.violations))


class TooLargeError(OrdinalError):
    """The body of the request is larger than can be taken."""

    code = "request-too-large"


class UnauthenticatedError(OrdinalError):
    """There is no credential, or it does not fit what is asked for."""

    code = "unauthenticated"

    def __init__(self, reason: str, is_sent: bool = True) -> None:
        super().__init__(reason)
        self.is_sent = is_sent


class ForbiddenError(OrdinalError):
    """The credential is right, and does not allow this. `scope` is the one that a token lacks, if any."""

    code = "forbidden"

    def __init__(self, reason: str, scope: str = "") -> None:
        super().__init__(reason)
        self.scope = scope


class NotFoundError(OrdinalError):
    """There is no such application, chat or message."""

    code = "not-found"


class GoneError(OrdinalError):
    """The chat or the message was deleted; its number stays taken."""

    code = "gone"


class ConflictError(OrdinalError):
    """Others kept changing the same thing; the same request can succeed later."""

    code = "conflict"
    retryable = True


class RevisionMismatchError(OrdinalError):
    """The state has another revision than `If-Match` names."""

    code = "revision-mismatch"


class KeyReusedError(OrdinalError):
    """The Idempotency-Key was used for a request with other content."""

    code = "idempotency-key-reused"


class InProgressError(OrdinalError):
    """The first request with this Idempotency-Key has no answer yet; later it will have one."""

    code = "request-in-progress"
    retryable = True


class RateLimitedError(OrdinalError):
    """The application, or the user, has asked for more than its share. `limit` says which."""

    code = "rate-limited"
    retryable = True

    def __init__(
        self, limit: str, retry_after_seconds: int, remaining: tuple[Remaining, ...] = ()
    ) -> None:
        super().__init__(f"the {limit} sends too many requests")
        self.limit = limit
        self.remaining = remaining
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(OrdinalError):
    """A part that is needed is away, slow or not ready. Nothing is wrong with the request."""

    code = "unavailable"
    retryable = True

    def __init__(self, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class BackpressureError(UnavailableError):
    """The workers cannot keep up: too much of the chat or the application waits to be persisted."""


class PoisonError(OrdinalError):
    """A record that can never be persisted or indexed, whatever is up."""

    code = "poison-record"


def safe_text(error: OrdinalError) -> str:
    """What the error says, for the log: without what stands in quotes, which may be content."""
    return _QUOTED.sub("'…'", str(error))


@contextmanager
def remaining_on_errors(remaining: tuple[Remaining, ...]) -> Iterator[None]:
    """Errors that leave this block get the request's `remaining`: their responses show it as well."""
    try:
        yield
    except OrdinalError as error:
        error.remaining = error.remaining or remaining
        raise
