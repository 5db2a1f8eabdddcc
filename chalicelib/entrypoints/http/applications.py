"""Doors of applications."""

from chalice import Blueprint, Response

from chalicelib.domain.keys import derive_key
from chalicelib.domain.requests import ApplicationRequest
from chalicelib.entrypoints.http.call import Call, page_limit
from chalicelib.entrypoints.http.door import answer, door
from chalicelib.entrypoints.http.views import ListView, application_view, new_application_view
from chalicelib.usecases import applications as usecases

applications = Blueprint(__name__)


@door(applications, "POST", "/applications")
def create_application(call: Call) -> Response:
    call.admin()
    request = call.body(ApplicationRequest)
    made = usecases.create_application(call.world, request.name)
    secret_key = derive_key(call.world.settings.need("master_key"), made.token, made.key_version)
    return answer(
        201,
        new_application_view(made, secret_key),
        {"Location": f"/applications/{made.token}"},
    )


@door(applications, "GET", "/applications")
def list_applications(call: Call) -> Response:
    call.admin()
    query = call.query("before", "limit")
    found, more_from = usecases.list_applications(
        call.world, query.get("before"), page_limit(query)
    )
    next_url = call.next_url(before=more_from) if more_from else None
    return answer(200, ListView([application_view(a) for a in found], next_url))


@door(applications, "GET", "/applications/{token}")
def get_application(call: Call, token: str) -> Response:
    _allow(call, token)
    return answer(200, application_view(usecases.get_application(call.world, token)))


@door(applications, "PATCH", "/applications/{token}")
def rename_application(call: Call, token: str) -> Response:
    _allow(call, token)
    request = call.body(ApplicationRequest)
    return answer(
        200, application_view(usecases.rename_application(call.world, token, request.name))
    )


@door(applications, "DELETE", "/applications/{token}")
def delete_application(call: Call, token: str) -> Response:
    _allow(call, token)
    usecases.delete_application(call.world, token)
    return Response(body="", status_code=204, headers={})


def _allow(call: Call, token: str) -> None:
    """The application's own key, or the admin's."""
    tenant = call.tenant_or_admin(token)
    if tenant:
        usecases.require_tenant(call.world, tenant)
