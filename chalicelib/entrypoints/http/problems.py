"""Errors as problem details (RFC 9457): the domain's, and Chalice's own."""

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

# The one table of problems (RFC 9457): what each code means, and what a client does about it.
#
# Errors of the domain find theirs by their `code`; the rest are said by Chalice and API Gateway.
# `docs/errors.md` and the OpenAPI document are made from it.

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ordinal:problem:"


class ProblemType(msgspec.Struct, frozen=True):
    """Status and title of a problem, when it is answered, and what to do then."""

    status: int
    title: str
    when: str
    remedy: str


_AGAIN = "Send the request again after `Retry-After` seconds, with the same `Idempotency-Key`."
_REPORT = "Nothing, but to report it with the request's id."

PROBLEMS: dict[str, ProblemType] = {
    "bad-request": ProblemType(
        400,
        "The request cannot be read",
        "It is no HTTP request that can be served.",
        "Correct it.",
    ),
    "unauthenticated": ProblemType(
        401,
        "The credential does not fit",
        "There is no `Authorization: Bearer …`, or the key or token is not one that fits the path.",
        "Send a credential of this application; an expired token must be made anew.",
    ),
    "forbidden": ProblemType(
        403,
        "The credential does not allow this",
        "The credential is right, but this needs another one, another scope, or is another's.",
        "Use a credential that may do it.",
    ),
    "not-found": ProblemType(
        404,
        "There is no such thing",
        "There is no such application, chat, message or path.",
        "Check the path.",
    ),
    "method-not-allowed": ProblemType(
        405,
        "The path has no such method",
        "The path does not take this method.",
        "Check the method.",
    ),
    "conflict": ProblemType(
        409,
        "Others changed it at the same time",
        "Others kept changing messages of the same chat for two seconds, or replaced the key just now.",
        "Send the request again.",
    ),
    "gone": ProblemType(
        410,
        "It was deleted",
        "The chat or the message was deleted. Its number stays taken.",
        "Forget it.",
    ),
    "revision-mismatch": ProblemType(
        412,
        "It has another revision",
        "`If-Match` names another revision than the current one: someone was faster.",
        "Read it again, and decide anew.",
    ),
    "request-too-large": ProblemType(
        413,
        "The request is too large",
        "Its body is over 3,000,000 bytes.",
        "Send less at once: fewer messages in a batch.",
    ),
    "unsupported-media-type": ProblemType(
        415,
        "The body is of another type",
        "The `Content-Type` is not `application/json`.",
        "Send JSON, and say so.",
    ),
    "invalid-request": ProblemType(
        422,
        "The request breaks a rule",
        "A field, a parameter or a header breaks a rule; `errors` names each with its rule.",
        "Correct what `errors` names.",
    ),
    "request-in-progress": ProblemType(
        409,
        "The first request with this Idempotency-Key is under way",
        "A request with the same key has no answer yet.",
        "Send the request again, with the same `Idempotency-Key`.",
    ),
    "idempotency-key-reused": ProblemType(
        422,
        "The Idempotency-Key was used for another request",
        "Within 24 hours the same key came with another method, path or body.",
        "Use a new key for a new request.",
    ),
    "rate-limited": ProblemType(
        429,
        "Too many requests",
        "The application, or the user, has sent more than its share; `RateLimit` says what is left.",
        _AGAIN,
    ),
    "internal": ProblemType(500, "The service failed", "A fault of the service.", _REPORT),
    "poison-record": ProblemType(500, "The service failed", "A fault of the service.", _REPORT),
    "unavailable": ProblemType(
        503,
        "Not available at this moment",
        "A part of the service is away, slow, or too much waits to be persisted.",
        _AGAIN,
    ),
    "timed-out": ProblemType(
        504, "The service took too long", "The service did not answer within 29 seconds.", _AGAIN
    ),
}

# The statuses that come with `Retry-After`.
RETRIED = (429, 503, 504)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Violation, ...] = ()


def answer_to(error: OrdinalError) -> Response:
    """The answer that an error means. Details of a failing part stay inside: they are in the log."""
    headers = {}
    detail = str(error)
    faults: tuple[Violation, ...] = ()
    if isinstance(error, InvalidError):
        faults = error.faults
        detail = _in_short(faults)
    if isinstance(error, UnavailableError | RateLimitedError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, UnavailableError):
        detail = (
            "A part of the service is not ready. Nothing is wrong with the request: send it again."
        )
    if challenge := _challenge(error):
        headers["WWW-Authenticate"] = challenge
    return problem(error.code, detail, faults, headers)


def _challenge(error: OrdinalError) -> str:
    """What RFC 6750 has the client told of its credential."""
    match error:
        case UnauthenticatedError():
            return 'Bearer error="invalid_token"' if error.is_sent else "Bearer"
        case ForbiddenError() if error.scope:
            return f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return ""


def failed() -> Response:
    """The answer to what nobody expected."""
    return problem("internal", "This is a fault of the service.")


def problem(
    code: str,
    detail: str,
    faults: tuple[Violation, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem of the table as an answer."""
    of = PROBLEMS[code]
    body = Problem(TYPE_PREFIX + code, of.title, of.status, detail, faults)
    return Response(
        body=msgspec.json.encode(body).decode(),
        status_code=of.status,
        headers={"Content-Type": CONTENT_TYPE, **(headers or {})},
    )


def _in_short(faults: tuple[Violation, ...]) -> str:
    first, *others = faults
    more = f" (and {len(others)} more)" if others else ""
    return f"{first.pointer or 'the body'}: {first.rule}{more}"


# Gives the errors that Chalice itself answers (415, say) the shape of all others.

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_CODES = {of.status: code for code, of in reversed(PROBLEMS.items())}


@blueprint.middleware("http")
def shape_errors(event: Any, get_response: Callable[[Any], Response]) -> Response:
    try:
        response = get_response(event)
    except Exception as error:  # a middleware's: what a view raises does not come this far
        _log(event, 500, code="internal", **log.fault(error))
        return _with_cors(failed())
    if response.status_code < 400 or not isinstance(response.body, dict):
        return response
    code = _CODES.get(response.status_code, "internal")
    _log(event, response.status_code, code=code)
    headers = {name: str(value) for name, value in response.headers.items()}
    return _with_cors(problem(code, response.body["Message"], headers=headers))


def _with_cors(response: Response) -> Response:
    """Chalice adds them to what routes answer; what is answered here may have met no route."""
    response.headers |= cors_headers(CORS)
    return response


def _log(event: Any, status: int, **fields: Any) -> None:
    log.begin("api", blueprint.lambda_context)
    route = {"method": event.method, "route": event.context.get("resourcePath")}
    logger.info("request", extra={**route, "status": status, **fields})
