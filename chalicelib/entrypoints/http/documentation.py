"""Endpoints of the API's own documentation."""

from typing import Any

from chalice import Blueprint

from chalicelib.entrypoints.http.endpoint import Html, OpenReply, RequestContext, endpoint

blueprint = Blueprint(__name__)


@endpoint(blueprint, "GET", "/openapi.json", "open", {200: dict[str, Any]})
def get_openapi(context: RequestContext) -> OpenReply:
    """Describe this API (OpenAPI 3.1)."""
    # Imported here, because no other request needs it.
    from chalicelib.entrypoints.http.openapi.document import openapi_json

    return OpenReply(openapi_json(), headers={"Content-Type": "application/json"})


@endpoint(blueprint, "GET", "/docs", "open", {200: Html})
def get_docs(context: RequestContext) -> OpenReply:
    """Show this API on a page on which it can be tried."""
    from chalicelib.entrypoints.http.openapi.docs_page import docs_page

    page, headers = docs_page()
    return OpenReply(page, headers=headers)
