"""Names of the Redis keys. All keys of an application have the hash tag `{token}`: one slot of a cluster."""

import hashlib

from chalicelib.domain.leases import Counter
from chalicelib.domain.models import AppToken
from chalicelib.domain.rate_limits import Bucket


def application(token: AppToken) -> str:
    return f"{{{token}}}:application"


def counter(counter_: Counter) -> str:
    chat = counter_.chat
    return f"{{{counter_.token}}}:chats" if chat is None else f"{{{counter_.token}}}:chat:{chat}"


def nonce(counter_: Counter) -> str:
    return f"{counter(counter_)}:nonce"


def pending(counter_: Counter) -> str:
    return f"{counter(counter_)}:pending"


def deletions(chat: Counter) -> str:
    """Numbers of the chat's messages whose deletion is pending."""
    return f"{counter(chat)}:deletions"


def idle(token: AppToken) -> str:
    """Idle counters (chat number, or 0 for the chats' counter), by when they became idle, ms since 1970."""
    return f"{{{token}}}:quiet"


def due(token: AppToken) -> str:
    """Pending entries (`<chat number or 0>:<number>`), by when they are overdue, ms since 1970."""
    return f"{{{token}}}:due"


def idempotency_record(token: AppToken, idempotency_key: str, user: str | None) -> str:
    """The idempotency record of a request with the secret key, or with a user token of `user`."""
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
    if user is None:
        return f"{{{token}}}:mark:{digest}"
    return f"{{{token}}}:mark:{hashlib.sha256(user.encode()).hexdigest()}:{digest}"


def bucket(token: AppToken, limit: Bucket) -> str:
    """When the bucket of a rate limit is full again, microseconds since 1970."""
    if limit.user is None:
        return f"{{{token}}}:rate"
    digest = hashlib.sha256(limit.user.encode()).hexdigest()
    return f"{{{token}}}:rate:{digest}"


def common(counter_: Counter) -> list[str]:
    """KEYS 1 to 8 of the scripts `accept` and `edit`."""
    chats = Counter(counter_.token)
    return [
        application(counter_.token),
        counter(counter_),
        nonce(counter_),
        pending(counter_),
        due(counter_.token),
        counter(chats),
        pending(chats),
        idle(counter_.token),
    ]
