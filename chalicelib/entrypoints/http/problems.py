"""Errors as problem details (RFC 9457): those of the domain, of Chalice, and of API Gateway.

`PROBLEMS` is the one table of all problems. `docs/errors.md` and the OpenAPI document are made from it.
"""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from chalice import Blueprint, Response

from chalicelib.domain.errors import (
    ForbiddenError,
    InvalidError,
    OrdinalError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
    Violation,
)
from chalicelib.entrypoints import log
from chalicelib.entrypoints.http.cors import CORS, cors_headers
from chalicelib.usecases.process_batch import error_location

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ordinal:problem:"
# The statuses that come with `Retry-After`.
RETRYABLE_STATUSES = (429, 503, 504)


class ProblemType(msgspec.Struct, frozen=True):
    """Status and title of a problem, when it occurs, and what a client can do."""

    status: int
    title: str
    when: str
    remedy: str


_RETRY = "Send the request again after `Retry-After` seconds, with the same `Idempotency-Key`."
_REPORT = "Report it, with the id of the request."

PROBLEMS: dict[str, ProblemType] = {
    "bad-request": ProblemType(
        400,
        "The request cannot be read",
        "It is not a valid HTTP request.",
        "Correct the request.",
    ),
    "unauthenticated": ProblemType(
        401,
        "The credential is not valid",
        "There is no `Authorization: Bearer …`, or the key or token is not valid for this path.",
        "Send a valid credential of this application. Replace an expired token.",
    ),
    "forbidden": ProblemType(
        403,
        "The credential does not allow this",
        "The credential is valid, but the operation needs another credential or another scope.",
        "Use a credential that allows the operation.",
    ),
    "not-found": ProblemType(
        404,
        "Not found",
        "There is no such application, chat, message or path.",
        "Check the path.",
    ),
    "method-not-allowed": ProblemType(
        405,
        "The path does not support this method",
        "The path exists, but not with this method.",
        "Check the method.",
    ),
    "conflict": ProblemType(
        409,
        "Another request changed it at the same time",
        "Other requests changed the same chat or message for two seconds, or replaced the key.",
        "Send the request again.",
    ),
    "gone": ProblemType(
        410,
        "It was deleted",
        "The chat or the message was deleted. Its number is never used again.",
        "Remove it from your own data.",
    ),
    "revision-mismatch": ProblemType(
        412,
        "It has another revision",
        "`If-Match` does not name the current revision: someone else has made a change.",
        "Read it again, and decide whether your change still applies.",
    ),
    "request-too-large": ProblemType(
        413,
        "The request is too large",
        "The body has more than 3,000,000 bytes.",
        "Send less in one request: fewer messages in a batch.",
    ),
    "unsupported-media-type": ProblemType(
        415,
        "The body is not JSON",
        "The `Content-Type` is not `application/json`.",
        "Send JSON with this `Content-Type`.",
    ),
    "invalid-request": ProblemType(
        422,
        "The request breaks a rule",
        "A field, a parameter or a header breaks a rule. `errors` lists each one with its rule.",
        "Correct what `errors` lists.",
    ),
    "request-in-progress": ProblemType(
        409,
        "The first request with this Idempotency-Key is in progress",
        "Another request with the same key has no response yet.",
        "Send the request again, with the same `Idempotency-Key`.",
    ),
    "idempotency-key-reused": ProblemType(
        422,
        "The Idempotency-Key was used for another request",
        "Within 24 hours, the same key was sent with another method, path or body.",
        "Use a new key for a new request.",
    ),
    "rate-limited": ProblemType(
        429,
        "Too many requests",
        "The application, or the user, has reached its rate limit, or too much is stored for it for a day. "
        "`RateLimit` shows what is left of the rate limit.",
        _RETRY,
    ),
    "internal": ProblemType(500, "Internal error", "The service has a defect.", _REPORT),
    "poison-record": ProblemType(500, "Internal error", "The service has a defect.", _REPORT),
    "unavailable": ProblemType(
        503,
        "Temporarily unavailable",
        "A part of the service is down or slow, or too much is waiting to be stored.",
        _RETRY,
    ),
    "timed-out": ProblemType(
        504, "The service took too long", "There was no response within 29 seconds.", _RETRY
    ),
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every response that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Violation, ...] = ()


def problem_response(error: OrdinalError) -> Response:
    """The response to an error. What is wrong inside the service is only in the log."""
    headers = {}
    detail = str(error)
    violations: tuple[Violation, ...] = ()
    if isinstance(error, InvalidError):
        violations = error.violations
        detail = _summary(violations)
    if isinstance(error, UnavailableError | RateLimitedError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, UnavailableError):
        detail = "A part of the service is not ready. The request itself is not the cause: send it again."
    if challenge := _challenge(error):
        headers["WWW-Authenticate"] = challenge
    return problem(error.code, detail, violations, headers)


def internal_error() -> Response:
    """The response to an unexpected exception."""
    return problem("internal", "The service has a defect.")


def problem(
    code: str,
    detail: str,
    violations: tuple[Violation, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem of the table as a response."""
    kind = PROBLEMS[code]
    body = Problem(TYPE_PREFIX + code, kind.title, kind.status, detail, violations)
    return Response(
        body=msgspec.json.encode(body).decode(),
        status_code=kind.status,
        headers={"Content-Type": CONTENT_TYPE, **(headers or {})},
    )


def _challenge(error: OrdinalError) -> str:
    """`WWW-Authenticate` (RFC 6750)."""
    match error:
        case UnauthenticatedError():
            return 'Bearer error="invalid_token"' if error.is_sent else "Bearer"
        case ForbiddenError() if error.scope:
            return f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return ""


def _summary(violations: tuple[Violation, ...]) -> str:
    first, *others = violations
    more = f" (and {len(others)} more)" if others else ""
    return f"{first.pointer or 'the body'}: {first.rule}{more}"


blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_CODES = {kind.status: code for code, kind in reversed(PROBLEMS.items())}


@blueprint.middleware("http")
def shape_errors(event: Any, get_response: Callable[[Any], Response]) -> Response:
    """Give the errors of Chalice itself (415, for example) the form of all other errors."""
    try:
        response = get_response(event)
    except Exception as error:  # from a middleware: the endpoints handle the errors of views
        _log(event, 500, code="internal", **error_location(error))
        return _with_cors(internal_error())
    if response.status_code < 400 or not isinstance(response.body, dict):
        return response
    code = _CODES.get(response.status_code, "internal")
    _log(event, response.status_code, code=code)
    headers = {name: str(value) for name, value in response.headers.items()}
    return _with_cors(problem(code, response.body["Message"], headers=headers))


def _with_cors(response: Response) -> Response:
    """Chalice adds these headers only to the responses of routes, and here may be no route."""
    response.headers |= cors_headers(CORS)
    return response


def _log(event: Any, status: int, **fields: Any) -> None:
    log.bind("api", blueprint.lambda_context)
    route = {"method": event.method, "route": event.context.get("resourcePath")}
    logger.info("request", extra={**route, "status": status, **fields})
