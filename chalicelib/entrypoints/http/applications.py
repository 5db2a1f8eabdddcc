"""Doors of applications."""

from chalice import Blueprint, Response

from chalicelib.domain.auth import derive_key
from chalicelib.domain.errors import ConflictError, InProgressError
from chalicelib.domain.requests import ApplicationRequest, KeyRequest
from chalicelib.entrypoints.http.endpoint import answer, door
from chalicelib.entrypoints.http.request import Call
from chalicelib.entrypoints.http.schemas import (
    ApplicationsQuery,
    ApplicationView,
    ListView,
    NewApplicationView,
    NewKeyView,
    application_view,
    new_application_view,
    or_none,
)
from chalicelib.usecases import applications

blueprint = Blueprint(__name__)

_ALL = "/applications"
_ONE = _ALL + "/{token}"
_ONCE = (InProgressError,)


@door(blueprint, "POST", _ALL, "admin", {201: NewApplicationView}, _ONCE, idempotent=True)
def create_application(call: Call, body: ApplicationRequest) -> Response:
    """Create an application.

    The answer has its token, by which all its paths begin, and its secret key, which is shown this
    once.
    """
    changed = applications.create_application(call.ports, body.name, call.idempotent_write())
    made = changed.state
    call.replayed(changed.replayed)
    secret_key = derive_key(call.ports.settings.require("master_key"), made.token, made.key_version)
    location = {"Location": f"/applications/{made.token}"}
    return answer(201, new_application_view(made, secret_key), location)


@door(blueprint, "GET", _ALL, "admin", {200: ListView[ApplicationView]})
def list_applications(call: Call, query: ApplicationsQuery) -> Response:
    """List all applications, newest first."""
    found, next_cursor = applications.list_applications(
        call.ports, or_none(query.before), query.limit
    )
    next_url = call.next_url(before=next_cursor) if next_cursor else None
    return answer(200, ListView([application_view(a) for a in found], next_url))


@door(blueprint, "GET", _ONE, "key or admin", {200: ApplicationView})
def get_application(call: Call, token: str) -> Response:
    """Read an application."""
    _require_valid(call)
    return answer(200, application_view(applications.get_application(call.ports, token)))


@door(blueprint, "PATCH", _ONE, "key or admin", {200: ApplicationView}, _ONCE, idempotent=True)
def rename_application(call: Call, token: str, body: ApplicationRequest) -> Response:
    """Rename an application."""
    _require_valid(call)
    renamed = applications.rename_application(call.ports, token, body.name, call.idempotent_write())
    call.replayed(renamed.replayed)
    return answer(200, application_view(renamed.state))


@door(blueprint, "DELETE", _ONE, "key or admin", {204: None}, _ONCE, idempotent=True)
def delete_application(call: Call, token: str) -> Response:
    """Delete an application with everything in it.

    It is refused from now on; what it held is removed little by little.
    """
    call.replayed(
        applications.delete_application(call.ports, token, call.sender, call.idempotent_write())
    )
    return Response(body="", status_code=204, headers={})


@door(
    blueprint,
    "POST",
    _ONE + "/keys",
    "key or admin",
    {201: NewKeyView},
    (ConflictError, *_ONCE),
    idempotent=True,
)
def rotate_key(call: Call, token: str, body: KeyRequest) -> Response:
    """Replace the secret key.

    The answer has the new key, which is shown this once. The one before it stays valid for as long as
    is asked for, and with it the user tokens that it signed; one that was replaced earlier ends now.
    """
    changed = applications.rotate_key(
        call.ports, token, call.sender, body.overlap_seconds, call.idempotent_write()
    )
    made = changed.state
    call.replayed(changed.replayed)
    secret_key = derive_key(call.ports.settings.require("master_key"), token, made.key_version)
    return answer(201, NewKeyView(secret_key, made.key_version, made.previous_key_until))


def _require_valid(call: Call) -> None:
    """The application's own key must still be valid; the admin's always is."""
    if call.sender:
        applications.require_tenant(call.ports, call.sender)
