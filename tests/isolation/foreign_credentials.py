"""Credentials that must not open an application: one of each kind."""

from typing import Any

import jwt
import msgspec

from chalicelib.entrypoints.http.endpoint import Operation

UNKNOWN_TOKEN = "0" * 30


class TenantKey(msgspec.Struct, frozen=True):
    """The token of an application and its valid secret key."""

    token: str
    key: str

    def user_token(self, now: float, key: str = "", **claims: Any) -> str:
        """A user token for ann. A `key` of another application makes it a forgery."""
        key = key or self.key
        payload = {"sub": "ann", "exp": int(now) + 600, **claims}
        return jwt.encode(payload, key, headers={"kid": self.key.split("_")[1]})


class ForeignCredential(msgspec.Struct, frozen=True):
    """A credential, and the status that the endpoints of the victim must respond with.

    `is_own` says that it belongs to the victim's application: it may show that the application exists.
    """

    credential: str
    status: int
    is_own: bool = False


def foreign_credentials(
    victim: TenantKey, other: TenantKey, admin_key: str, now: float
) -> dict[str, ForeignCredential]:
    """All kinds of credentials that must not open chat 1 of the victim."""
    forged = other.key.split("_")[2]
    header, claims, _ = victim.user_token(now).split(".")
    unsigned = jwt.encode({"sub": "ann", "exp": int(now) + 600}, "", "none", headers={"kid": "1"})
    refused = {
        "none": "",
        "nonsense": "nonsense",
        "admin key": admin_key,
        "other application's key": other.key,
        "other application's user": other.user_token(now),
        "other application's user, of the same chats": other.user_token(now, chats=[1]),
        "forged key": f"ok_1_{forged}",
        "forged key of a later version": f"ok_9_{forged}",
        "user, with another application's signature": victim.user_token(now, key=other.key),
        "user, without a signature": f"{header}.{claims}.",
        "user, without an algorithm": unsigned,
    }
    credentials = {name: ForeignCredential(credential, 401) for name, credential in refused.items()}
    credentials["own user, with an expired token"] = ForeignCredential(
        victim.user_token(now, exp=int(now) - 60), 401, True
    )
    credentials["own user of another chat"] = ForeignCredential(
        victim.user_token(now, chats=[2]), 403, True
    )
    return credentials


def is_allowed(operation: Operation, name: str) -> bool:
    """Whether the endpoint allows this credential."""
    return operation.access == "open" or (name == "admin key" and "admin" in operation.access)
