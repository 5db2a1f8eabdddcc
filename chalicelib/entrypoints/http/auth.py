"""Authentication: the admin by the admin key, an application by its secret key, a user by a user token.

Nothing is looked up here, so a refusal says nothing about what exists. The script that serves the request
checks later that the key's version is still valid.
"""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from chalicelib.bootstrap import Adapters
from chalicelib.domain.auth import (
    NOT_OF_APPLICATION,
    Tenant,
    check_admin_key,
    check_key,
    derive_key,
    key_version,
    user_of,
)
from chalicelib.domain.errors import (
    UnauthenticatedError,
)
from chalicelib.domain.limits import MAX_USER_TOKEN_CHARS
from chalicelib.domain.models import AppToken
from chalicelib.domain.rate_limits import Bucket, bucket
from chalicelib.settings import Settings

# The credential that an operation needs. `read` and `write` are the scopes of user tokens; the secret key of
# the application has both.
Access = Literal["open", "admin", "key or admin", "key", "read", "write"]

# The only algorithm of user tokens, whatever their own headers name.
_ALGORITHMS = ["HS256"]
_APPLICATION_TOKEN = re.compile(r"[0-9a-f]{30}")


def authenticate(
    ports: Adapters, access: Access, authorization: str, params: Mapping[str, str]
) -> Tenant | None:
    """The tenant that the credential belongs to: None for the admin, and if the operation is open.

    `params` are the values in the path. Raises `UnauthenticatedError`. Raises `ForbiddenError` if a user
    token is valid but does not allow the operation.
    """
    if access == "open":
        return None
    credential = _credential(authorization)
    from_tenant = credential.startswith("ok_") or is_user_token(credential)
    if access == "admin" or (access == "key or admin" and not from_tenant):
        check_admin_key(ports.admin_key, credential)
        return None
    tenant = _tenant(ports, AppToken(params["token"]), credential)
    if access in ("read", "write"):
        tenant.require_scope(access)
    else:
        tenant.require_key()
    return tenant


def is_user_token(credential: str) -> bool:
    """Whether it has the form of a JWT: the header is a JSON object, so its base64 begins with `ey`."""
    return credential.startswith("ey") and credential.count(".") == 2


def check_user_token(master_key: str, token: AppToken, credential: str, now_ms: int) -> Tenant:
    """The application with the user that a user token names. Raises `UnauthenticatedError`.

    The key that signed the token is derived, in the version that the token's header names as `kid`. An
    error names what is wrong with the claims only if the signature is right.
    """
    # PyJWT is imported when the first user token comes.
    import jwt

    refused = UnauthenticatedError(
        "the token is not signed with this application's key in the version that its `kid` names"
    )
    if len(credential) > MAX_USER_TOKEN_CHARS:
        raise refused
    try:
        version = key_version(jwt.get_unverified_header(credential).get("kid", ""))
        key = derive_key(master_key, token, version)
        claims = jwt.PyJWS().decode(credential, key, algorithms=_ALGORITHMS)
    # RecursionError and ValueError: the header is nested deeply, or has half a character.
    except (jwt.PyJWTError, UnauthenticatedError, RecursionError, ValueError):
        raise refused from None
    return Tenant(token, version, user=user_of(claims, now_ms))


def _tenant(ports: Adapters, token: AppToken, credential: str) -> Tenant:
    if not _APPLICATION_TOKEN.fullmatch(token):
        raise UnauthenticatedError(NOT_OF_APPLICATION)
    master_key = ports.master_key
    if is_user_token(credential):
        tenant = check_user_token(master_key, token, credential, ports.clock.now_ms())
    else:
        tenant = Tenant(token, check_key(master_key, token, credential))
    user = tenant.user.name if tenant.user else None
    return replace(tenant, buckets=_buckets(ports.settings, user))


def _buckets(settings: Settings, user: str | None) -> tuple[Bucket, ...]:
    """The application's bucket, and the user's if a user sends the request."""
    if user is None:
        return (bucket(settings.application_rate),)
    return (bucket(settings.application_rate), bucket(settings.user_rate, user))


def _credential(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise UnauthenticatedError("send `Authorization: Bearer <key or token>`", is_sent=False)
    return key.strip()
