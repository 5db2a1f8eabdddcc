"""Names of the Redis keys. All keys of an application carry the hash tag `{token}`: one slot of a cluster."""

import hashlib

from chalicelib.domain.leases import Counter
from chalicelib.domain.rate_limits import Bucket


def application(token: str) -> str:
    return f"{{{token}}}:application"


def counter(of: Counter) -> str:
    return f"{{{of.token}}}:chats" if of.chat is None else f"{{{of.token}}}:chat:{of.chat}"


def nonce(of: Counter) -> str:
    return f"{counter(of)}:nonce"


def pending(of: Counter) -> str:
    return f"{counter(of)}:pending"


def deletions(chat: Counter) -> str:
    """Numbers of the chat's messages whose deletion is pending."""
    return f"{counter(chat)}:deletions"


def idle(token: str) -> str:
    """Counters that nothing is pending of (chat number, or 0 for the chats), by when that began."""
    return f"{{{token}}}:quiet"


def due(token: str) -> str:
    return f"{{{token}}}:due"


def idempotency_record(token: str, idempotency_key: str, user: str | None) -> str:
    """The mark of a request that came with the secret key, or with a user's token."""
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
    if user is None:
        return f"{{{token}}}:mark:{digest}"
    return f"{{{token}}}:mark:{hashlib.sha256(user.encode()).hexdigest()}:{digest}"


def bucket(token: str, of: Bucket) -> str:
    if of.user is None:
        return f"{{{token}}}:rate"
    digest = hashlib.sha256(of.user.encode()).hexdigest()
    return f"{{{token}}}:rate:{digest}"


def common(of: Counter) -> list[str]:
    """KEYS 1 to 8 of the scripts that accept."""
    chats = Counter(of.token)
    return [
        application(of.token),
        counter(of),
        nonce(of),
        pending(of),
        due(of.token),
        counter(chats),
        pending(chats),
        idle(of.token),
    ]
