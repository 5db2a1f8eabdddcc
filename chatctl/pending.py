"""What was accepted and is not persisted yet, over all applications. Reads only.

Every pending entry has a member in its application's set of due times, so that set says how many there
are and in which chats. The oldest entry of a chat is taken to be the one with its lowest number: exact,
but for messages that were edited while they were pending.
"""

from collections.abc import Collection, Iterable
from typing import cast

import msgspec
import redis

from chalicelib.adapters.redis import connection, keys
from chalicelib.adapters.redis.codec import parse_entry, state_type
from chalicelib.domain.leases import Counter
from chalicelib.usecases.maintenance import ListTokens, token_pages

_MEMBERS_AT_ONCE = 5_000
_READ_TIMEOUT_SECONDS = 10


class Backlog(msgspec.Struct, frozen=True):
    """Pending entries, the applications that have some, and when the oldest was accepted."""

    entries: int
    applications: int
    oldest_at_ms: int | None


def connect(url: str) -> redis.Redis:
    """A connection whose every wait has a limit; a cluster answers the same commands."""
    return cast(redis.Redis, connection.connect(url, _READ_TIMEOUT_SECONDS))


def backlog(client: redis.Redis, list_tokens: ListTokens) -> Backlog:
    """Walks all applications. Raises `redis.RedisError`."""
    entries = applications = 0
    oldest: list[int] = []
    for tokens in token_pages(list_tokens):
        for token, count in zip(tokens, _counts(client, tokens), strict=True):
            if count:
                entries += count
                applications += 1
                oldest += _accepted_at_ms(client, pending_counters(client, token))
    return Backlog(entries, applications, min(oldest, default=None))


def _counts(client: redis.Redis, tokens: Iterable[str]) -> list[int]:
    with client.pipeline(transaction=False) as pipeline:
        for token in tokens:
            pipeline.zcard(keys.due(token))
        return pipeline.execute()


def pending_counters(client: redis.Redis, token: str) -> set[Counter]:
    """The counters of an application that have pending entries: members are `chat:number`."""
    scores = client.zscan_iter(keys.due(token), count=_MEMBERS_AT_ONCE)
    chats = {int(cast(bytes, member).partition(b":")[0]) for member, _ in scores}
    return {Counter(token, chat or None) for chat in chats}


def _accepted_at_ms(client: redis.Redis, counters: Collection[Counter]) -> list[int]:
    """When the lowest pending number of each counter was accepted."""
    with client.pipeline(transaction=False) as pipeline:
        for counter in counters:
            pipeline.zrange(keys.pending(counter), 0, 0)
        found = pipeline.execute()
    return [
        parse_entry(entry, state_type(counter)).accepted_at_ms
        for counter, members in zip(counters, found, strict=True)
        for entry in members
    ]
