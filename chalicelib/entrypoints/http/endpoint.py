"""What all HTTP doors share: registering, who may come in, shaping answers, errors as problems."""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec
from chalice import Blueprint, Response

from chalicelib.bootstrap import request_ports
from chalicelib.domain.errors import BackpressureError, OrdinalError, RateLimitedError
from chalicelib.domain.metrics import ERRORS, RATE_LIMITED, REFUSED_BY_BACKPRESSURE
from chalicelib.entrypoints import log
from chalicelib.entrypoints.http.access_log import log_request
from chalicelib.entrypoints.http.auth import authenticate
from chalicelib.entrypoints.http.cors import CORS
from chalicelib.entrypoints.http.operation import Access, Operation
from chalicelib.entrypoints.http.problems import answer_to, failed
from chalicelib.entrypoints.http.request import Call, UserName, user_name, whole_number
from chalicelib.entrypoints.http.schemas import NoQuery
from chalicelib.usecases.log_subjects import error_fields

logger = logging.getLogger(__name__)

# Every operation of the API, in the order in which app.py registers them.
OPERATIONS: list[Operation] = []

View = Callable[..., Response]


def door(
    blueprint: Blueprint,
    method: str,
    path: str,
    access: Access,
    answers: Mapping[int, Any],
    errors: tuple[type[OrdinalError], ...] = (),
    idempotent: bool = False,
    if_match: bool = False,
    etag: bool = False,
) -> Callable[[View], View]:
    """Register a view: a function from a `Call` and what its parameters name to an answer.

    A view takes what stands in the path by name (`str`, `int` for numbers, or `UserName`), and, if it
    names them, `body` and `query`, each as the type that it is annotated with. Its docstring is the
    documentation. `answers` are the types of the bodies by status; `idempotent`, `if_match` and `etag`
    say which headers it takes and gives.
    """

    def register(view: View) -> View:
        types = get_type_hints(view)
        operation = Operation(
            method=method,
            path=path,
            tag=blueprint._import_name.rpartition(".")[2],
            name=view.__name__,
            text=inspect.getdoc(view) or "",
            access=access,
            answers=answers,
            errors=errors,
            path_types={name: types[name] for name in types if f"{{{name}}}" in path},
            body=types.get("body"),
            query=types.get("query"),
            idempotent=idempotent,
            if_match=if_match,
            etag=etag,
        )
        OPERATIONS.append(operation)

        @functools.wraps(view)
        def handler(**params: str) -> Response:
            call = Call(blueprint.current_request, request_ports())
            log.begin("api", blueprint.lambda_context)
            response = _answer(operation, view, call)
            response.headers |= call.headers()
            log_request(call, params, response.status_code)
            call.ports.metrics.flush("api")
            return response

        # Without a body its type says nothing, whatever a client sends.
        types_taken = ["application/json"] if operation.body else ["*/*"]
        route = blueprint.route(
            path, methods=[method], name=view.__name__, content_types=types_taken, cors=CORS
        )
        route(handler)
        return handler

    return register


def _answer(operation: Operation, view: View, call: Call) -> Response:
    """The view's answer, or the problem that its error means."""
    metrics = call.ports.metrics
    try:
        return view(call, **_arguments(operation, call))
    except OrdinalError as error:
        metrics.count(ERRORS, dimension=error.code)
        if isinstance(error, BackpressureError):
            metrics.count(REFUSED_BY_BACKPRESSURE)
        if isinstance(error, RateLimitedError):
            metrics.count(RATE_LIMITED, dimension=error.limit)
        call.note(**error_fields(error) if error.retryable else {"code": error.code})
        return answer_to(error)
    except Exception as error:
        metrics.count(ERRORS, dimension="internal")
        call.note(code="internal", **log.fault(error))
        return failed()


def _arguments(operation: Operation, call: Call) -> dict[str, Any]:
    """What the view takes. Who comes is checked first, so that others learn nothing from faults."""
    authorization, params = call.header("authorization") or "", call.params
    call.sender = authenticate(call.ports, operation.access, authorization, params)
    arguments = {
        name: _from_path(name, params[name], kind) for name, kind in operation.path_types.items()
    }
    query = call.query(operation.query or NoQuery)
    if operation.query:
        arguments["query"] = query
    if operation.body:
        arguments["body"] = call.body(operation.body)
    return arguments


def _from_path(name: str, text: str, kind: Any) -> Any:
    if kind is int:
        return whole_number(name, text)
    return user_name(text) if kind is UserName else text


def answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(
        body=msgspec.json.encode(body).decode(),
        status_code=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def etag(revision: int) -> dict[str, str]:
    """The header that names a state, for `If-Match`."""
    return {"ETag": f'"{revision}"'}
