"""Who sends a request: the admin, an application by its secret key, or one of its users by a token."""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from chalicelib.bootstrap import LiveWorld
from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.domain.keys import check_admin_key, check_key
from chalicelib.domain.rates import Allowance, bucket
from chalicelib.domain.tenants import Tenant
from chalicelib.entrypoints.http.operation import Access
from chalicelib.entrypoints.http.user_tokens import check_user_token, is_user_token
from chalicelib.settings import Settings

_TOKEN = re.compile(r"[0-9a-f]{30}")


def authenticate(
    world: LiveWorld, access: Access, authorization: str, params: Mapping[str, str]
) -> Tenant | None:
    """The tenant whose credential this is; None for the admin, and where the door is open.

    `params` are what stands in the path. Raises `UnauthenticatedError`, and `ForbiddenError` where a
    user's token is right and does not allow it. Nothing is looked up, so that nothing is told about
    what is there.
    """
    if access == "open":
        return None
    credential = _credential(authorization)
    by_tenant = credential.startswith("ok_") or is_user_token(credential)
    if access == "admin" or (access == "key or admin" and not by_tenant):
        check_admin_key(world.settings.need("admin_key"), credential)
        return None
    tenant = _tenant(world, params["token"], credential)
    if access in ("read", "write"):
        tenant.require_scope(access)
    else:
        tenant.require_key()
    return tenant


def _tenant(world: LiveWorld, token: str, credential: str) -> Tenant:
    if not _TOKEN.fullmatch(token):
        raise UnauthenticatedError("the key is not one of this application")
    master_key = world.settings.need("master_key")
    if is_user_token(credential):
        tenant = check_user_token(master_key, token, credential, world.clock.now_ms())
    else:
        tenant = Tenant(token, check_key(master_key, token, credential))
    user = tenant.user.name if tenant.user else None
    return replace(tenant, allowance=_allowance(world.settings, user))


def _allowance(settings: Settings, user: str | None) -> Allowance:
    """What one request may take: from the application's bucket, and from the user's where it is one's."""
    buckets = [bucket(settings.application_rate)]
    if user is not None:
        buckets.append(bucket(settings.user_rate, user))
    return Allowance(*buckets)


def _credential(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise UnauthenticatedError("send `Authorization: Bearer <key or token>`", is_sent=False)
    return key.strip()
