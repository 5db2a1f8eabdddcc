"""Tokens for an application's users. Needs `ordinal-client[tokens]`."""

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
    """A credential for one user: for the chats with these numbers, or for all.

    Made where the secret key is, that is on the application's own server, and given to the user's
    browser or app, which comes to Ordinal with it in the key's place.
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
