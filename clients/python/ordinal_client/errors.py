"""The errors of the client.

OrdinalError                    the base of all errors
 ├─ ConnectionFailedError       the client got no response, or only a part of it
 ├─ UnexpectedResponseError     the response does not come from Ordinal
 └─ ProblemError                the service refused the request
     ├─ UnauthenticatedError    401: the credential is missing or not valid here
     ├─ ForbiddenError          403: the credential does not allow the request
     ├─ NotFoundError           404: there is no such application, chat or message
     ├─ ConflictError           409: other requests changed the same thing at the same time
     ├─ GoneError               410: the chat or the message was deleted
     ├─ RevisionMismatchError   412: the revision is another one than `if_match`
     ├─ InvalidRequestError     422: the request breaks a rule
     ├─ RateLimitedError        429: too many requests
     └─ UnavailableError        503: the service is not available now

The client repeats a request that failed with a `retryable` error. It raises the error when its retry policy
allows no other attempt.
"""

import httpx
import msgspec

_RETRYABLE = (429, 502, 503, 504)
_IN_PROGRESS = "urn:ordinal:problem:request-in-progress"
_SHOWN_CHARS = 200


class OrdinalError(Exception):
    """The base of all errors of this client.

    `retryable` says whether the same request can succeed later. `retry_after_seconds` is the shortest
    time to wait before it; 0 if the service did not ask to wait.
    """

    retryable = False
    retry_after_seconds = 0.0


class ConnectionFailedError(OrdinalError):
    """The client got no response, or only a part of it. The service may have carried out the request."""

    retryable = True


class UnexpectedResponseError(OrdinalError):
    """The response does not come from Ordinal, or from a version that this client does not know."""


class Violation(msgspec.Struct, frozen=True):
    """A field, a parameter or a header that breaks a rule.

    `pointer` is the JSON pointer of the field, or the name of the parameter or header.
    """

    pointer: str
    rule: str


class ProblemError(OrdinalError):
    """The service refused the request. The attributes are those of a problem document (RFC 9457).

    Programs can rely on `status` and `type`; `title` and `detail` are for people. `errors` names the fields
    that break rules. If a gateway or a proxy refused the request, `title` is its text and `type`, `detail`
    and `errors` are empty.
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
        super().__init__(_summary(status, title, detail, errors))
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds
        self.retryable = status in _RETRYABLE or type == _IN_PROGRESS


class UnauthenticatedError(ProblemError):
    """401: there is no credential, or it is not valid for this path."""


class ForbiddenError(ProblemError):
    """403: the credential is valid, but it does not allow this request."""


class NotFoundError(ProblemError):
    """404: there is no such application, chat or message."""


class ConflictError(ProblemError):
    """409: other requests changed the same thing, or the same `Idempotency-Key` is still in progress."""


class GoneError(ProblemError):
    """410: the chat or the message was deleted. No other one will have its number."""


class RevisionMismatchError(ProblemError):
    """412: the chat or the message has another revision than `if_match`: another request changed it."""


class InvalidRequestError(ProblemError):
    """422: the request breaks rules. `errors` names each field and its rule."""


class RateLimitedError(ProblemError):
    """429: the application or the user sent too many requests."""


class UnavailableError(ProblemError):
    """503: the service is not available now."""


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
    """The body of a refusal. API Gateway sends its own refusals with nothing but `message`."""

    type: str = ""
    title: str = ""
    detail: str = ""
    errors: tuple[Violation, ...] = ()
    message: str = ""


def problem_from(response: httpx.Response) -> ProblemError:
    """The error for a response that is not a success."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem(message=response.text[:_SHOWN_CHARS])
    error_type = _BY_STATUS.get(response.status_code, ProblemError)
    return error_type(
        response.status_code,
        problem.type,
        problem.title or problem.message,
        problem.detail,
        problem.errors,
        _retry_after_seconds(response),
    )


def _retry_after_seconds(response: httpx.Response) -> float:
    """The seconds of `Retry-After`; 0 if there is none or it is a date."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _summary(status: int, title: str, detail: str, errors: tuple[Violation, ...]) -> str:
    text = ": ".join(filter(None, (title, detail)))
    violations = [f"{violation.pointer}: {violation.rule}" for violation in errors]
    # The detail often names the only violation already.
    others = [f"[{violation}]" for violation in violations if violation not in text]
    return " ".join([str(status), text, *others]).rstrip()
