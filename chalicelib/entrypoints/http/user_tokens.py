"""User tokens: JWTs that an application signs with its secret key. PyJWT is loaded when the first comes."""

from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.domain.keys import derive_key, key_version
from chalicelib.domain.limits import MAX_USER_TOKEN_CHARS
from chalicelib.domain.tenants import Tenant
from chalicelib.domain.user_claims import user_of

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
