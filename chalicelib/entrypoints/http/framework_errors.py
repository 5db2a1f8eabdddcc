"""Gives the errors that Chalice itself answers (415, say) the shape of all others."""

from collections.abc import Callable
from typing import Any

from chalice import Blueprint, Response

from chalicelib.entrypoints.http.problems import problem

framework_errors = Blueprint(__name__)


@framework_errors.middleware("http")
def shape_errors(event: Any, get_response: Callable[[Any], Response]) -> Response:
    response = get_response(event)
    if response.status_code < 400 or not isinstance(response.body, dict):
        return response
    code = "".join(f"-{c.lower()}" if c.isupper() else c for c in response.body["Code"])
    code = code.strip("-").removesuffix("-error")
    title = "The request cannot be served"
    return problem(code, title, response.status_code, response.body["Message"])
