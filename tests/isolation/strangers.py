"""Who comes to an application without the right to: one credential of each kind."""

from typing import Any

import jwt
import msgspec

from chalicelib.entrypoints.http.operation import Operation

NOBODY = "0" * 30


class Place(msgspec.Struct, frozen=True):
    """An application, by its token and the secret key that is valid."""

    token: str
    key: str

    def user(self, now: float, key: str = "", **claims: Any) -> str:
        """A token of its user ann."""
        key = key or self.key
        given = {"sub": "ann", "exp": int(now) + 600, **claims}
        return jwt.encode(given, key, headers={"kid": self.key.split("_")[1]})


class Stranger(msgspec.Struct, frozen=True):
    """A credential, and what it is answered at the victim's doors.

    `knows` is true where it is of the victim's own application: then it may learn that there is one.
    """

    credential: str
    status: int
    knows: bool = False


def strangers(victim: Place, other: Place, admin_key: str, now: float) -> dict[str, Stranger]:
    """Each kind of credential that must not open chat 1 of the victim."""
    forged = other.key.split("_")[2]
    header, claims, _ = victim.user(now).split(".")
    unsigned = jwt.encode({"sub": "ann", "exp": int(now) + 600}, "", "none", headers={"kid": "1"})
    credentials = {
        "none": "",
        "nonsense": "nonsense",
        "admin key": admin_key,
        "other application's key": other.key,
        "other application's user": other.user(now),
        "other application's user, of the same chats": other.user(now, chats=[1]),
        "forged key": f"ok_1_{forged}",
        "forged key of a later version": f"ok_9_{forged}",
        "user, with another application's signature": victim.user(now, key=other.key),
        "user, without a signature": f"{header}.{claims}.",
        "user, without an algorithm": unsigned,
    }
    found = {name: Stranger(credential, 401) for name, credential in credentials.items()}
    found["own user, whose token is over"] = Stranger(
        victim.user(now, exp=int(now) - 60), 401, True
    )
    found["own user of another chat"] = Stranger(victim.user(now, chats=[2]), 403, True)
    return found


def is_let_in(operation: Operation, name: str) -> bool:
    """Whether a stranger has the right to come through this door."""
    return operation.access == "open" or (name == "admin key" and "admin" in operation.access)
