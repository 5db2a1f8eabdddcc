"""What a request can end with.

OrdinalError                    the base: a sentence
 ├─ ConnectionFailedError       no answer came, or not all of it
 ├─ UnexpectedResponseError       what answers is not Ordinal
 └─ ProblemError                the service said no, and why
     ├─ UnauthenticatedError    401: the credential does not fit
     ├─ ForbiddenError          403: the credential does not allow this
     ├─ NotFoundError           404: there is no such thing
     ├─ ConflictError           409: something else was under way at the same time
     ├─ GoneError               410: it was deleted
     ├─ RevisionMismatchError   412: it has another revision than `if_match`
     ├─ InvalidRequestError     422: the request breaks a rule
     ├─ RateLimitedError        429: too many requests
     └─ UnavailableError        503: not available at this moment

Those that are `retryable` come only after the client has tried again for as long as its `Retries` let it.
"""

import httpx
import msgspec

_TRIED_AGAIN = (429, 502, 503, 504)
_IN_PROGRESS = "urn:ordinal:problem:request-in-progress"
_SHOWN_CHARS = 200


class OrdinalError(Exception):
    """The base of all errors of this client.

    `retryable` says whether the same request may succeed later, `retry_after_seconds` how long the
    service asks to wait before that.
    """

    retryable = False
    retry_after_seconds = 0.0


class ConnectionFailedError(OrdinalError):
    """No answer came, or not all of it. Whether the service has seen the request is not known."""

    retryable = True


class UnexpectedResponseError(OrdinalError):
    """What answers is not Ordinal, or not a version of it that this client knows."""


class Violation(msgspec.Struct, frozen=True):
    """A field, a parameter or a header that breaks a rule."""

    pointer: str
    rule: str


class ProblemError(OrdinalError):
    """The service said no, with a problem document (RFC 9457).

    `type` is stable, and is what code decides by; `title` and `detail` are for people. All of them are
    empty where something before the service answered, but for what it says of itself in `title`.
    """

    def __init__(
        self,
        status: int,
        type: str = "",
        title: str = "",
        detail: str = "",
        errors: tuple[Violation, ...] = (),
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(_in_words(status, title, detail, errors))
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds
        self.retryable = status in _TRIED_AGAIN or type == _IN_PROGRESS


class UnauthenticatedError(ProblemError):
    """401: there is no credential, or not one that fits the path."""


class ForbiddenError(ProblemError):
    """403: the credential is right, but does not allow this."""


class NotFoundError(ProblemError):
    """404: there is no such application, chat or message."""


class ConflictError(ProblemError):
    """409: something else was under way at the same time."""


class GoneError(ProblemError):
    """410: it was deleted. Its number stays taken."""


class RevisionMismatchError(ProblemError):
    """412: it has another revision than `if_match`: someone was faster."""


class InvalidRequestError(ProblemError):
    """422: the request breaks rules; `errors` names each with its place."""


class RateLimitedError(ProblemError):
    """429: too many requests."""


class UnavailableError(ProblemError):
    """503: not available at this moment."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    412: RevisionMismatchError,
    422: InvalidRequestError,
    429: RateLimitedError,
    503: UnavailableError,
}


class _Problem(msgspec.Struct, frozen=True):
    """The body; `message` is what API Gateway says where the service did not answer."""

    type: str = ""
    title: str = ""
    detail: str = ""
    errors: tuple[Violation, ...] = ()
    message: str = ""


def problem_from(response: httpx.Response) -> ProblemError:
    """The error that an answer means which is not a success."""
    try:
        said = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Problem(message=response.text[:_SHOWN_CHARS])
    kind = _BY_STATUS.get(response.status_code, ProblemError)
    return kind(
        response.status_code,
        said.type,
        said.title or said.message,
        said.detail,
        said.errors,
        _retry_after_seconds(response),
    )


def _retry_after_seconds(response: httpx.Response) -> float:
    """What the service asks for; 0 where it does not, or names a date."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _in_words(status: int, title: str, detail: str, errors: tuple[Violation, ...]) -> str:
    said = ": ".join(filter(None, (title, detail)))
    faults = [f"{fault.pointer}: {fault.rule}" for fault in errors]
    # A single fault is often the detail already.
    faults = [f"[{fault}]" for fault in faults if fault not in said]
    return " ".join([str(status), said, *faults]).rstrip()
