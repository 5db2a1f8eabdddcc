"""The tree of errors. Adapters raise these for errors of their vendors; endpoints make responses of them.

OrdinalError
 ├─ InvalidError            the request breaks rules; names the fields
 ├─ TooLargeError           the body of the request is too large
 ├─ UnauthenticatedError    there is no credential, or it is not valid
 ├─ ForbiddenError          the credential is valid, and does not allow this
 ├─ NotFoundError           there is no such application, chat or message
 ├─ GoneError               the chat or message was deleted
 ├─ ConflictError           another request changes it at this moment; try again
 ├─ RevisionMismatchError   `If-Match` does not name the current revision
 ├─ KeyReusedError          the Idempotency-Key was used for another request
 ├─ InProgressError         the first request with this Idempotency-Key is in progress
 ├─ RateLimitedError        the application or the user sends too many requests, or stores too much; try later
 ├─ UnavailableError        a part of the service is down or slow; try again
 │   ├─ BackpressureError   too much is waiting to be persisted
 │   ├─ OutageError         a part of the service does not respond, whatever is asked of it
 │   └─ DeadlineError       the function's time ended before this was started
 └─ PoisonError             a record that can never be persisted or indexed
"""

import re

import msgspec

from chalicelib.domain.rate_limits import Remaining

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class OrdinalError(Exception):
    """The base of all errors of the domain.

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
    """The request breaks one or more rules: `violations` has one entry for each."""

    code = "invalid-request"

    def __init__(self, pointer: str, rule: str, *others: Violation) -> None:
        self.violations = (Violation(pointer, rule), *others)
        super().__init__("; ".join(f"{v.pointer}: {v.rule}" for v in self.violations))


class TooLargeError(OrdinalError):
    """The body of the request is too large."""

    code = "request-too-large"


class UnauthenticatedError(OrdinalError):
    """There is no credential (`is_sent` is False), or it is not valid."""

    code = "unauthenticated"

    def __init__(self, reason: str, is_sent: bool = True) -> None:
        super().__init__(reason)
        self.is_sent = is_sent


class ForbiddenError(OrdinalError):
    """The credential is valid, and does not allow this. `scope` is the one that a token lacks, if any."""

    code = "forbidden"

    def __init__(self, reason: str, scope: str = "") -> None:
        super().__init__(reason)
        self.scope = scope


class NotFoundError(OrdinalError):
    """There is no such application, chat or message."""

    code = "not-found"


class GoneError(OrdinalError):
    """The chat or the message was deleted. Its number is never used again."""

    code = "gone"


class ConflictError(OrdinalError):
    """Other requests changed the same thing at the same time; the same request can succeed later."""

    code = "conflict"
    retryable = True


class RevisionMismatchError(OrdinalError):
    """`If-Match` does not name the current revision."""

    code = "revision-mismatch"


class KeyReusedError(OrdinalError):
    """The Idempotency-Key was used for another request."""

    code = "idempotency-key-reused"


class InProgressError(OrdinalError):
    """The first request with this Idempotency-Key has no response yet."""

    code = "request-in-progress"
    retryable = True


class RateLimitedError(OrdinalError):
    """The application, or the user, sends too many requests or stores too much. `limit` names which."""

    code = "rate-limited"
    retryable = True

    def __init__(
        self,
        limit: str,
        retry_after_seconds: int,
        remaining: tuple[Remaining, ...] = (),
        reason: str = "",
    ) -> None:
        super().__init__(reason or f"the {limit} sends too many requests")
        self.limit = limit
        self.remaining = remaining
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(OrdinalError):
    """A part of the service is down, slow or not ready. The request itself is not the cause."""

    code = "unavailable"
    retryable = True

    def __init__(self, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class BackpressureError(UnavailableError):
    """The workers are behind: too much of the chat or the application is waiting to be persisted."""


class OutageError(UnavailableError):
    """A part of the service does not respond, or refuses everything. It says nothing about the request.

    The adapters raise this if a circuit is open, after a time-out, and for errors of the part itself. Every
    other `UnavailableError` may be the fault of one request, one chat or one application.
    """


class DeadlineError(UnavailableError):
    """The time of the function ended before this was started."""


class PoisonError(OrdinalError):
    """A record that can never be persisted or indexed."""

    code = "poison-record"


def safe_text(error: OrdinalError) -> str:
    """The text of the error for the log, without quoted parts, which may be content."""
    return _QUOTED.sub("'…'", str(error))
