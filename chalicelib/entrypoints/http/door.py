"""What all HTTP doors share: registering, shaping an answer, turning errors into problems."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aws_lambda_powertools import Logger
from chalice import Blueprint, Response

from chalicelib.bootstrap import world
from chalicelib.domain.errors import OrdinalError
from chalicelib.entrypoints.http.call import Call
from chalicelib.entrypoints.http.problems import answer_to, problem

logger = Logger(service="api")


def door(
    blueprint: Blueprint, method: str, path: str
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Register a door: a function from a `Call` and the path's parameters to an answer."""

    def register(view: Callable[..., Response]) -> Callable[..., Response]:
        @functools.wraps(view)
        def handler(**params: str) -> Response:
            try:
                return view(Call(blueprint.current_request, world()), **params)
            except OrdinalError as error:
                if error.retryable:
                    logger.warning("refused for now", extra={"view": view.__name__}, exc_info=error)
                return answer_to(error)
            except Exception:
                logger.exception("a request failed", extra={"view": view.__name__})
                return problem(
                    "internal", "The service failed", 500, "This is a fault of the service."
                )

        blueprint.route(path, methods=[method], name=view.__name__)(handler)
        return handler

    return register


def answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(
        body=msgspec.json.encode(body).decode(),
        status_code=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
