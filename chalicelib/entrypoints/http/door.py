"""What all HTTP doors share: registering, shaping an answer, turning errors into problems."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from chalice import Blueprint, Response

from chalicelib.bootstrap import world
from chalicelib.domain.errors import HeldBackError, OrdinalError
from chalicelib.domain.metrics import ERRORS, HELD_BACK
from chalicelib.entrypoints import log
from chalicelib.entrypoints.http.call import Call
from chalicelib.entrypoints.http.problems import answer_to, problem
from chalicelib.entrypoints.http.request_line import log_request
from chalicelib.usecases.record_log import told

logger = logging.getLogger(__name__)


def door(
    blueprint: Blueprint, method: str, path: str
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Register a door: a function from a `Call` and the path's parameters to an answer."""

    def register(view: Callable[..., Response]) -> Callable[..., Response]:
        @functools.wraps(view)
        def handler(**params: str) -> Response:
            call = Call(blueprint.current_request, world())
            log.begin("api", blueprint.lambda_context)
            response = _answer(view, call, params)
            log_request(call, params, response.status_code)
            call.world.meter.flush("api")
            return response

        blueprint.route(path, methods=[method], name=view.__name__)(handler)
        return handler

    return register


def _answer(view: Callable[..., Response], call: Call, params: dict[str, str]) -> Response:
    """The view's answer, or the problem that its error means."""
    meter = call.world.meter
    try:
        return view(call, **params)
    except OrdinalError as error:
        meter.count(ERRORS, of=error.code)
        if isinstance(error, HeldBackError):
            meter.count(HELD_BACK)
        call.note(**told(error) if error.retryable else {"code": error.code})
        return answer_to(error)
    except Exception as error:
        meter.count(ERRORS, of="internal")
        call.note(code="internal", **log.fault(error))
        return problem("internal", "The service failed", 500, "This is a fault of the service.")


def answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(
        body=msgspec.json.encode(body).decode(),
        status_code=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
