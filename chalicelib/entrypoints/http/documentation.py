"""Doors of the API's own description."""

from typing import Any

from chalice import Blueprint, Response

from chalicelib.entrypoints.http.endpoint import door
from chalicelib.entrypoints.http.operation import Html
from chalicelib.entrypoints.http.request import Call

blueprint = Blueprint(__name__)


@door(blueprint, "GET", "/openapi.json", "open", {200: dict[str, Any]})
def get_openapi(call: Call) -> Response:
    """Describe this API (OpenAPI 3.1)."""
    # Imported here: no other request needs it.
    from chalicelib.entrypoints.http.openapi.document import openapi_json

    return Response(openapi_json(), headers={"Content-Type": "application/json"})


@door(blueprint, "GET", "/docs", "open", {200: Html})
def get_docs(call: Call) -> Response:
    """Show this API on a page, on which it can be tried."""
    from chalicelib.entrypoints.http.openapi.docs_page import docs_page

    page, headers = docs_page()
    return Response(page, headers={**headers})
