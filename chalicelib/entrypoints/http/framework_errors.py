"""Gives the errors that Chalice itself answers (415, say) the shape of all others."""

import logging
from collections.abc import Callable
from typing import Any

from chalice import Blueprint, Response

from chalicelib.entrypoints import log
from chalicelib.entrypoints.http.problems import PROBLEMS, problem

framework_errors = Blueprint(__name__)
logger = logging.getLogger(__name__)

_CODES = {of.status: code for code, of in reversed(PROBLEMS.items())}


@framework_errors.middleware("http")
def shape_errors(event: Any, get_response: Callable[[Any], Response]) -> Response:
    response = get_response(event)
    if response.status_code < 400 or not isinstance(response.body, dict):
        return response
    code = _CODES.get(response.status_code, "internal")
    log.begin("api", framework_errors.lambda_context)
    fields = {"method": event.method, "route": event.context.get("resourcePath")}
    logger.info("request", extra={**fields, "status": response.status_code, "code": code})
    return problem(code, response.body["Message"])
