"""User tokens. This module needs `ordinal-client[tokens]`."""

import time
from collections.abc import Iterable
from typing import Any, Literal

import jwt


def user_token(
    secret_key: str,
    user: str,
    expires_in_seconds: int,
    scope: Literal["read write", "read", "write"] = "read write",
    chats: Iterable[int] | None = None,
) -> str:
    """Sign a user token: a credential for one user of an application.

    Call this on the application's own server, because it needs the secret key. The server gives the token
    to the user's browser or app, which passes it to `Client` in place of a key.

    :param secret_key: the secret key of the application. The token ends when this key ends.
    :param user: the name of the user.
    :param expires_in_seconds: how long the token is valid, at most 30 days.
    :param scope: what the user may do.
    :param chats: the numbers of the chats that the token opens; all chats by default.
    :returns: the token.
    """
    claims: dict[str, Any] = {
        "sub": user,
        "exp": int(time.time()) + expires_in_seconds,
        "scope": scope,
    }
    if chats is not None:
        claims["chats"] = list(chats)
    version = secret_key.split("_")[1]
    return jwt.encode(claims, secret_key, algorithm="HS256", headers={"kid": version})
