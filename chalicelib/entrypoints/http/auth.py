"""Who sent a request: the admin, an application by its secret key, or a user by a token."""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from chalicelib.bootstrap import Adapters
from chalicelib.domain.auth import (
    Tenant,
    check_admin_key,
    check_key,
    derive_key,
    key_version,
    user_of,
)
from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.domain.limits import MAX_USER_TOKEN_CHARS
from chalicelib.domain.rate_limits import RateLimit, bucket
from chalicelib.entrypoints.http.operation import Access
from chalicelib.settings import Settings

# User tokens: JWTs that an application signs with its secret key. PyJWT is loaded when the first comes.

# No other is ever taken, whatever the token's own header asks for.
_ALGORITHMS = ["HS256"]


def is_user_token(credential: str) -> bool:
    """Whether it has the form of a JWT: the header is a JSON object, so its base64 begins with `ey`."""
    return credential.startswith("ey") and credential.count(".") == 2


def check_user_token(master_key: str, token: str, credential: str, now_ms: int) -> Tenant:
    """The application with the user that a token names. Raises `UnauthenticatedError`.

    The key that signed it is derived, in the version that the header names as `kid`: nothing is looked
    up. What is wrong with the claims is told only where the signature is right.
    """
    import jwt

    refused = UnauthenticatedError(
        "the token is not signed with the key of this application whose version its `kid` names"
    )
    if len(credential) > MAX_USER_TOKEN_CHARS:
        raise refused
    try:
        version = key_version(jwt.get_unverified_header(credential).get("kid", ""))
        key = derive_key(master_key, token, version)
        claims = jwt.PyJWS().decode(credential, key, algorithms=_ALGORITHMS)
    # A header that is nested deeply, or holds half a character, is no JWT either.
    except (jwt.PyJWTError, UnauthenticatedError, RecursionError, ValueError):
        raise refused from None
    return Tenant(token, version, user=user_of(claims, now_ms))


# Who sends a request: the admin, an application by its secret key, or one of its users by a token.

_TOKEN = re.compile(r"[0-9a-f]{30}")


def authenticate(
    ports: Adapters, access: Access, authorization: str, params: Mapping[str, str]
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
        check_admin_key(ports.settings.require("admin_key"), credential)
        return None
    tenant = _tenant(ports, params["token"], credential)
    if access in ("read", "write"):
        tenant.require_scope(access)
    else:
        tenant.require_key()
    return tenant


def _tenant(ports: Adapters, token: str, credential: str) -> Tenant:
    if not _TOKEN.fullmatch(token):
        raise UnauthenticatedError("the key is not one of this application")
    master_key = ports.settings.require("master_key")
    if is_user_token(credential):
        tenant = check_user_token(master_key, token, credential, ports.clock.now_ms())
    else:
        tenant = Tenant(token, check_key(master_key, token, credential))
    user = tenant.user.name if tenant.user else None
    return replace(tenant, rate_limit=_allowance(ports.settings, user))


def _allowance(settings: Settings, user: str | None) -> RateLimit:
    """What one request may take: from the application's bucket, and from the user's where it is one's."""
    buckets = [bucket(settings.application_rate)]
    if user is not None:
        buckets.append(bucket(settings.user_rate, user))
    return RateLimit(*buckets)


def _credential(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise UnauthenticatedError("send `Authorization: Bearer <key or token>`", is_sent=False)
    return key.strip()
