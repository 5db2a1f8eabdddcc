"""Doors of the API's own description."""

from typing import Any

from chalice import Blueprint, Response

from chalicelib.entrypoints.http.call import Call
from chalicelib.entrypoints.http.door import door

description = Blueprint(__name__)


@door(description, "GET", "/openapi.json", "open", {200: dict[str, Any]})
def get_openapi(call: Call) -> Response:
    """Describe this API (OpenAPI 3.1)."""
    # Imported here: no other request needs it.
    from chalicelib.entrypoints.http.openapi import openapi_json

    return Response(openapi_json(), headers={"Content-Type": "application/json"})
