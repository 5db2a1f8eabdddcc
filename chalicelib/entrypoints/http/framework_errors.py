"""Gives the errors that Chalice itself answers (415, say) the shape of all others."""

import logging
from collections.abc import Callable
from typing import Any

from chalice import Blueprint, Response

from chalicelib.entrypoints import log
from chalicelib.entrypoints.http.cors import CORS, cors_headers
from chalicelib.entrypoints.http.problems import PROBLEMS, failed, problem

framework_errors = Blueprint(__name__)
logger = logging.getLogger(__name__)

_CODES = {of.status: code for code, of in reversed(PROBLEMS.items())}


@framework_errors.middleware("http")
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
    log.begin("api", framework_errors.lambda_context)
    route = {"method": event.method, "route": event.context.get("resourcePath")}
    logger.info("request", extra={**route, "status": status, **fields})
