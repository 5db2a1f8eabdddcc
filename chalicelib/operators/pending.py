"""What Redis stores as pending, of one application and of all. Only reads.

Each pending version has a member in its application's set of due times. So this set gives their count and
their chats. The oldest version of a counter is taken to be the one with the lowest number: exact, except for
messages that were edited while they were pending.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import cast

import msgspec
import redis

from chalicelib.adapters.redis import connection
from chalicelib.adapters.redis.codec import due_key, parse_entry, pending_key, version_type
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.operators.errors import reported_as
from chalicelib.usecases.rounds import ListTokens, token_pages

READ_TIMEOUT_SECONDS = 10
_MEMBERS_A_SCAN = 5_000
_ENTRIES_A_PAGE = 500


class PendingBacklog(msgspec.Struct, frozen=True):
    """Pending versions, the applications that have any, and when the oldest was accepted."""

    entries: int
    applications: int
    oldest_at_ms: int | None


@reported_as("Redis", redis.RedisError)
def connect(url: str) -> redis.Redis:
    """A connection to a server or to a cluster, with a time limit for each wait.

    Raises `RequestFailedError` if no node of a cluster responds.
    """
    return cast(redis.Redis, connection.connect(url, READ_TIMEOUT_SECONDS))


@reported_as("Redis", redis.RedisError)
def measure_backlog(client: redis.Redis, list_tokens: ListTokens) -> PendingBacklog:
    """The backlog of all applications. Raises `RequestFailedError`."""
    entries = applications = 0
    oldest: list[int] = []
    for tokens in token_pages(list_tokens):
        for token, count in zip(tokens, _counts(client, tokens), strict=True):
            if count:
                entries += count
                applications += 1
                oldest += _accepted_at_ms(client, pending_counters(client, token))
    return PendingBacklog(entries, applications, min(oldest, default=None))


def pending_counters(client: redis.Redis, token: AppToken) -> set[Counter]:
    """The counters of an application that have pending versions. Members are `chat:number`."""
    members = client.zscan_iter(due_key(token), count=_MEMBERS_A_SCAN)
    chats = {int(cast(bytes, member).partition(b":")[0]) for member, _ in members}
    return {Counter(token, ChatNumber(chat) or None) for chat in chats}


def pending_revisions(
    client: redis.Redis, token: AppToken
) -> Iterator[tuple[Counter, dict[int, int]]]:
    """The pending revisions of an application by number: pages, each of one counter."""
    for counter in pending_counters(client, token):
        lowest = "-inf"
        while entries := cast(
            list[tuple[bytes, float]],
            client.zrange(
                pending_key(counter), lowest, "+inf", byscore=True, offset=0, num=_ENTRIES_A_PAGE,
                withscores=True,
            ),
        ):  # fmt: skip
            yield counter, {int(score): int(entry.partition(b"|")[0]) for entry, score in entries}
            lowest = f"({int(entries[-1][1])}"


def _counts(client: redis.Redis, tokens: Iterable[AppToken]) -> list[int]:
    with client.pipeline(transaction=False) as pipeline:
        for token in tokens:
            pipeline.zcard(due_key(token))
        return pipeline.execute()


def _accepted_at_ms(client: redis.Redis, counters: Collection[Counter]) -> list[int]:
    """When the version with the lowest number of each counter was accepted."""
    with client.pipeline(transaction=False) as pipeline:
        for counter in counters:
            pipeline.zrange(pending_key(counter), 0, 0)
        replies = pipeline.execute()
    return [
        parse_entry(entry, version_type(counter)).accepted_at_ms
        for counter, entries in zip(counters, replies, strict=True)
        for entry in entries
    ]
