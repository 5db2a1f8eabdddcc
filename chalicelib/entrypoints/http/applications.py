"""Endpoints of applications."""

from chalice import Blueprint
from msgspec import UNSET

from chalicelib.domain.auth import derive_key
from chalicelib.domain.errors import ConflictError, InProgressError
from chalicelib.domain.models import AppToken
from chalicelib.domain.paging import parse_application_cursor
from chalicelib.domain.requests import ApplicationRequest, KeyRequest
from chalicelib.entrypoints.http.endpoint import ReadReply, RequestContext, WriteReply, endpoint
from chalicelib.entrypoints.http.schemas import (
    ApplicationResponse,
    ApplicationsQuery,
    ListResponse,
    NewApplicationResponse,
    NewKeyResponse,
    application_path,
    application_response,
    new_application_response,
    next_path,
)
from chalicelib.usecases import applications

blueprint = Blueprint(__name__)

_ALL = "/applications"
_ONE = _ALL + "/{token}"
_ERRORS = (InProgressError,)


@endpoint(
    blueprint,
    "POST",
    _ALL,
    "admin",
    {201: NewApplicationResponse},
    _ERRORS,
    idempotent=True,
    location=True,
)
def create_application(context: RequestContext, body: ApplicationRequest) -> WriteReply:
    """Create an application.

    The response has the token, with which all paths of the application begin, and the secret key. The key
    is shown only this once.
    """
    result = applications.create_application(context.ports, body.name, context.idempotency)
    application = result.value
    master_key = context.ports.master_key
    secret_key = derive_key(master_key, application.token, application.key_version)
    response = new_application_response(application, secret_key)
    return WriteReply(response, result, application_path(application.token))


@endpoint(blueprint, "GET", _ALL, "admin", {200: ListResponse[ApplicationResponse]})
def list_applications(context: RequestContext, query: ApplicationsQuery) -> ReadReply:
    """List all applications, newest first."""
    before = None if query.before is UNSET else parse_application_cursor(query.before)
    result = applications.list_applications(context.ports, before, query.limit)
    page = result.value
    next_url = (
        next_path(context.request, "before", str(page.next_cursor)) if page.next_cursor else None
    )
    items = [application_response(application) for application in page.items]
    return ReadReply(ListResponse(items, next_url), result)


@endpoint(blueprint, "GET", _ONE, "key or admin", {200: ApplicationResponse})
def get_application(context: RequestContext, token: AppToken) -> ReadReply:
    """Read an application."""
    result = applications.get_application(context.ports, token, context.principal)
    return ReadReply(application_response(result.value), result)


@endpoint(
    blueprint, "PATCH", _ONE, "key or admin", {200: ApplicationResponse}, _ERRORS, idempotent=True
)
def rename_application(
    context: RequestContext, token: AppToken, body: ApplicationRequest
) -> WriteReply:
    """Rename an application."""
    result = applications.rename_application(
        context.ports, token, body.name, context.principal, context.idempotency
    )
    return WriteReply(application_response(result.value), result)


@endpoint(blueprint, "DELETE", _ONE, "key or admin", {204: None}, _ERRORS, idempotent=True)
def delete_application(context: RequestContext, token: AppToken) -> WriteReply:
    """Delete an application with everything in it.

    All further requests of the application are refused. What it held is removed within minutes or hours.
    """
    result = applications.delete_application(
        context.ports, token, context.principal, context.idempotency
    )
    return WriteReply(None, result)


@endpoint(
    blueprint,
    "POST",
    _ONE + "/keys",
    "key or admin",
    {201: NewKeyResponse},
    (ConflictError, *_ERRORS),
    idempotent=True,
)
def rotate_key(context: RequestContext, token: AppToken, body: KeyRequest) -> WriteReply:
    """Replace the secret key.

    The response has the new key, which is shown only this once. The replaced key, and the user tokens that
    it signed, stay valid for the overlap that the request names. A key that was replaced earlier ends now.
    """
    result = applications.rotate_key(
        context.ports, token, context.principal, body.overlap_seconds, context.idempotency
    )
    application = result.value
    master_key = context.ports.master_key
    secret_key = derive_key(master_key, token, application.key_version)
    response = NewKeyResponse(
        secret_key=secret_key,
        key_version=application.key_version,
        previous_valid_until=application.previous_key_until,
    )
    return WriteReply(response, result)
