"""What all HTTP endpoints share: routes, credentials, headers, errors as problems, the log.

An operation is a value: its endpoint acts on it, and the OpenAPI document is made from it.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NewType, get_type_hints

import msgspec
from chalice import Blueprint, Response

from chalicelib.bootstrap import Adapters, request_ports
from chalicelib.domain.auth import Tenant, User
from chalicelib.domain.errors import (
    BackpressureError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    KeyReusedError,
    NotFoundError,
    OrdinalError,
    RateLimitedError,
    RevisionMismatchError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey, WriteResult
from chalicelib.domain.metrics import BACKPRESSURE_REFUSALS, ERRORS, RATE_LIMITED
from chalicelib.domain.models import ChatNumber, MessageNumber, Timestamp, UserName
from chalicelib.domain.rate_limits import Remaining, Result
from chalicelib.domain.requests import check_request
from chalicelib.domain.times import rfc3339
from chalicelib.entrypoints import log
from chalicelib.entrypoints.http.auth import Access, authenticate
from chalicelib.entrypoints.http.cors import CORS
from chalicelib.entrypoints.http.problems import internal_error, problem_response
from chalicelib.entrypoints.http.request import Request, positive_int, user_name
from chalicelib.entrypoints.http.schemas import NoQuery
from chalicelib.usecases.process_batch import error_fields, error_location

# A response that is a page for people, not JSON.
Html = NewType("Html", str)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. The types of `body`, `query` and the path are those of the view's parameters.

    `responses` are the types of the bodies by status; the lowest status is the success. `errors` are those
    that do not follow from the other fields. `idempotent` and `if_match` name the headers that it takes,
    `etag` and `location` those that it returns.
    """

    method: str
    path: str
    tag: str
    name: str
    text: str
    access: Access
    responses: Mapping[int, Any]
    errors: tuple[type[OrdinalError], ...]
    path_types: Mapping[str, Any]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    idempotent: bool
    if_match: bool
    etag: bool
    location: bool

    @property
    def success(self) -> int:
        """The status of a response without an error."""
        return min(self.responses)

    def all_errors(self) -> list[type[OrdinalError]]:
        """Every error that the operation can return."""
        errors: list[type[OrdinalError]] = [*self.errors]
        if self.access != "open":
            errors += [UnauthenticatedError, UnavailableError]
        if self.access not in ("open", "admin"):
            errors += [ForbiddenError, RateLimitedError]
        if "{" in self.path and self.access != "open":
            errors.append(NotFoundError)
        errors.append(InvalidError)
        if self.idempotent:
            errors.append(KeyReusedError)
        if self.if_match:
            errors += [RevisionMismatchError, ConflictError]
        return list(dict.fromkeys(errors))


# Every operation of the API, in the order in which app.py registers them.
OPERATIONS: list[Operation] = []


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a view may need beside its parameters.

    `principal` is the tenant that the credential belongs to: None for the admin, and if the operation is
    open. `idempotency` and `if_match` are set if the operation takes their headers and the client sent them.
    """

    ports: Adapters
    request: Request
    received_at: Timestamp
    principal: Tenant | None
    idempotency: IdempotencyKey | None
    if_match: int | None

    @property
    def tenant(self) -> Tenant:
        """The principal of an operation that the admin cannot call."""
        assert self.principal is not None
        return self.principal

    @property
    def user(self) -> User | None:
        """The user, if the credential is a user token."""
        return self.principal.user if self.principal else None

    @property
    def idempotency_key(self) -> str | None:
        return self.idempotency.key if self.idempotency else None


class Reply[R](msgspec.Struct, frozen=True):
    """What a view returns: the body, and the result of the use case.

    From the result the endpoint takes the other headers and the fields of the log, so that no view can
    forget them. `location` is the path of what was created.
    """

    body: Any
    result: R
    location: str | None = None


ReadReply = Reply[Result[Any]]
WriteReply = Reply[WriteResult[Any]]


class OpenReply(msgspec.Struct, frozen=True):
    """What the view of an open operation returns. A `body` that is text is sent as it is."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


type AnyReply = ReadReply | WriteReply | OpenReply
type View = Callable[..., AnyReply]


def endpoint(
    blueprint: Blueprint,
    method: str,
    path: str,
    access: Access,
    responses: Mapping[int, Any],
    errors: tuple[type[OrdinalError], ...] = (),
    idempotent: bool = False,
    if_match: bool = False,
    etag: bool = False,
    location: bool = False,
) -> Callable[[View], Callable[..., Response]]:
    """Register a view: a function from a `RequestContext` and its own parameters to a reply.

    A view names the values of the path that it needs, and `body` and `query`, with their types. Its docstring
    is the documentation of the operation. `Operation` has the meaning of the other arguments. A view that
    takes an Idempotency-Key returns a `WriteReply`, any other a `ReadReply`; without a credential it returns
    an `OpenReply`.
    """

    def register(view: View) -> Callable[..., Response]:
        types = get_type_hints(view)
        operation = Operation(
            method=method,
            path=path,
            tag=view.__module__.rpartition(".")[2],
            name=view.__name__,
            text=inspect.getdoc(view) or "",
            access=access,
            responses=responses,
            errors=errors,
            path_types={name: types[name] for name in types if f"{{{name}}}" in path},
            body=types.get("body"),
            query=types.get("query"),
            idempotent=idempotent,
            if_match=if_match,
            etag=etag,
            location=location,
        )
        if types["return"] != _reply_type(operation):
            raise TypeError(f"{operation.name} must return {_reply_type(operation)}")
        OPERATIONS.append(operation)

        @functools.wraps(view)
        def handler(**_: str) -> Response:
            request = Request(blueprint.current_request)
            request_log = log.RequestLog(
                request.method, request.route, request.params, request.request_id
            )
            log.bind("api", blueprint.lambda_context)
            ports = request_ports()
            response = _respond(operation, view, ports, request, request_log)
            request_log.write(response.status_code)
            ports.metrics.flush("api")
            return response

        # An operation without a body ignores the content type that a client sends.
        content_types = ["application/json"] if operation.body else ["*/*"]
        route = blueprint.route(
            path, methods=[method], name=view.__name__, content_types=content_types, cors=CORS
        )
        route(handler)
        return handler

    return register


def _reply_type(operation: Operation) -> Any:
    if operation.access == "open":
        return OpenReply
    return WriteReply if operation.idempotent else ReadReply


def _respond(
    operation: Operation, view: View, ports: Adapters, request: Request, request_log: log.RequestLog
) -> Response:
    """The response of the view, or the problem that its error means."""
    metrics = ports.metrics
    try:
        return _response(operation, _call(operation, view, ports, request), request_log)
    except OrdinalError as error:
        metrics.count(ERRORS, dimension=error.code)
        if isinstance(error, BackpressureError):
            metrics.count(BACKPRESSURE_REFUSALS)
        if isinstance(error, RateLimitedError):
            metrics.count(RATE_LIMITED, dimension=error.limit)
        request_log.add(**error_fields(error) if error.retryable else {"code": error.code})
        response = problem_response(error)
        response.headers |= rate_headers(error.remaining)
        return response
    except Exception as error:
        metrics.count(ERRORS, dimension="internal")
        request_log.add(code="internal", **error_location(error))
        return internal_error()


def _call(operation: Operation, view: View, ports: Adapters, request: Request) -> AnyReply:
    """The principal is checked before anything else: a foreign credential gets no other error."""
    authorization = request.header("authorization") or ""
    principal = authenticate(ports, operation.access, authorization, request.params)
    received_at = rfc3339(ports.clock.now_ms())
    arguments = _arguments(operation, request, principal, received_at)
    context = RequestContext(
        ports=ports,
        request=request,
        received_at=received_at,
        principal=principal,
        if_match=request.if_match() if operation.if_match else None,
        idempotency=request.idempotency() if operation.idempotent else None,
    )
    return view(context, **arguments)


def _arguments(
    operation: Operation, request: Request, principal: Tenant | None, received_at: Timestamp
) -> dict[str, Any]:
    """The parameters of the view."""
    arguments = {
        name: _path_value(name, request.params[name], kind)
        for name, kind in operation.path_types.items()
    }
    query = request.query(operation.query or NoQuery)
    if operation.query:
        arguments["query"] = query
    if operation.body:
        arguments["body"] = body = request.body(operation.body)
        check_request(body, received_at, principal.user if principal else None)
    return arguments


def _path_value(name: str, text: str, kind: Any) -> Any:
    if kind is UserName:
        return user_name(text)
    return positive_int(name, text) if kind in (ChatNumber, MessageNumber) else text


def _response(operation: Operation, reply: AnyReply, request_log: log.RequestLog) -> Response:
    if isinstance(reply, OpenReply):
        return _encoded(reply.status, reply.body, reply.headers)
    result = reply.result
    headers = rate_headers(result.remaining)
    if operation.etag:
        headers["ETag"] = f'"{reply.body.revision}"'
    if reply.location is not None:
        headers["Location"] = reply.location
    if isinstance(result, WriteResult):
        request_log.add_result(result)
        if result.replayed:
            headers["Idempotency-Replayed"] = "true"
    return _encoded(operation.success, reply.body, headers)


def _encoded(status: int, body: Any, headers: Mapping[str, str]) -> Response:
    if body is None or isinstance(body, str):
        return Response(body or "", status_code=status, headers={**headers})
    return Response(
        msgspec.json.encode(body).decode(),
        status_code=status,
        headers={"Content-Type": "application/json", **headers},
    )


def rate_headers(remaining: Sequence[Remaining]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` of the narrowest bucket (draft-ietf-httpapi-ratelimit-headers-10).

    A user sees only the user's own bucket, and so nothing of what other users do. The window is the time in
    which an empty bucket fills.
    """
    if not remaining:
        return {}
    last = remaining[-1]
    bucket = last.bucket
    window = math.ceil(bucket.size / bucket.rate)
    return {
        "RateLimit-Policy": f'"{bucket.name}";q={bucket.size};w={window}',
        "RateLimit": f'"{bucket.name}";r={last.left};t={math.ceil(last.full_in_ms / 1000)}',
    }
