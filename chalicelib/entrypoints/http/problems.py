"""One table from errors to answers (RFC 9457). An error that is not in it fails a test."""

import msgspec
from chalice import Response

from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    HeldBackError,
    InvalidError,
    KeyReusedError,
    NotFoundError,
    OrdinalError,
    PoisonError,
    RevisionMismatchError,
    UnauthenticatedError,
    UnavailableError,
)

CONTENT_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:ordinal:problem:"

# error → (status, title)
TABLE: dict[type[OrdinalError], tuple[int, str]] = {
    InvalidError: (422, "The request breaks a rule"),
    UnauthenticatedError: (401, "The credential does not fit"),
    NotFoundError: (404, "There is no such thing"),
    GoneError: (410, "It was deleted"),
    ConflictError: (409, "Others changed it at the same time"),
    RevisionMismatchError: (412, "It has another revision"),
    KeyReusedError: (422, "The Idempotency-Key was used for another request"),
    HeldBackError: (503, "Not available at this moment"),
    UnavailableError: (503, "Not available at this moment"),
    PoisonError: (500, "The service failed"),
    OrdinalError: (500, "The service failed"),
}


class Fault(msgspec.Struct, frozen=True):
    """A field that breaks a rule: its JSON pointer or name, and the rule."""

    pointer: str
    rule: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = ()


def answer_to(error: OrdinalError) -> Response:
    """The answer that an error means. Details of a failing part stay inside: they are in the log."""
    status, title = TABLE[type(error)]
    headers = {}
    detail = str(error)
    faults: tuple[Fault, ...] = ()
    if isinstance(error, InvalidError):
        faults = (Fault(error.pointer, error.rule),)
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
        detail = (
            "A part of the service is not ready. Nothing is wrong with the request: send it again."
        )
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.code, title, status, detail, faults, headers)


def problem(
    code: str,
    title: str,
    status: int,
    detail: str,
    faults: tuple[Fault, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem as an answer."""
    body = Problem(_TYPE_PREFIX + code, title, status, detail, faults)
    return Response(
        body=msgspec.json.encode(body).decode(),
        status_code=status,
        headers={"Content-Type": CONTENT_TYPE, **(headers or {})},
    )
