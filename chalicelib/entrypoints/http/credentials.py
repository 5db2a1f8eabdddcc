"""Who sends a request: the admin, an application by its secret key, or one of its users by a token."""

import re
from collections.abc import Mapping

from chalicelib.bootstrap import LiveWorld
from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.domain.keys import check_admin_key, check_key
from chalicelib.domain.rates import Allowance, bucket
from chalicelib.domain.tenants import Tenant
from chalicelib.entrypoints.http.operation import Access
from chalicelib.settings import Settings

_TOKEN = re.compile(r"[0-9a-f]{30}")


def authenticate(
    world: LiveWorld, access: Access, authorization: str, params: Mapping[str, str]
) -> Tenant | None:
    """The tenant whose credential this is; None for the admin, and where the door is open.

    `params` are what stands in the path. Raises `UnauthenticatedError`.
    Nothing is looked up, so that nothing is told about what is there.
    """
    if access == "open":
        return None
    credential = _credential(authorization)
    if access == "admin" or (access == "key or admin" and not credential.startswith("ok_")):
        check_admin_key(world.settings.need("admin_key"), credential)
        return None
    token = params["token"]
    if not _TOKEN.fullmatch(token):
        raise UnauthenticatedError("the key is not one of this application")
    version = check_key(world.settings.need("master_key"), token, credential)
    return Tenant(token, version, _allowance(world.settings))


def _allowance(settings: Settings, user: str | None = None) -> Allowance:
    """What one request may take: from the application's bucket, and from the user's where it is one's."""
    buckets = [bucket(settings.application_rate)]
    if user is not None:
        buckets.append(bucket(settings.user_rate, user))
    return Allowance(*buckets)


def _credential(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise UnauthenticatedError("send `Authorization: Bearer <key>`")
    return key.strip()
