"""MySQL against Redis: can a counter of Redis issue a number that it must not issue?

A missing counter is not a mismatch: the next write acquires a lease. Neither is a counter of another
incarnation, for example from an old snapshot: it cannot issue numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from typing import cast

import msgspec
import redis

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.leases import MySqlLeases
from chalicelib.adapters.redis.codec import counter_key
from chalicelib.adapters.redis.sequencer import FIXED_HOLDER
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.number_ranges import count

CHAT_LIMITS = """
SELECT c.number, c.last_message_number, c.messages_ceiling
FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND c.number > %s
ORDER BY c.number LIMIT %s
"""
APPLICATION_LIMIT = """
SELECT (SELECT COALESCE(MAX(c.number), 0) FROM chats c WHERE c.application_id = a.id),
  a.chats_ceiling
FROM applications a WHERE a.token = %s AND a.deleted_at IS NULL
"""
CHATS_WITH_SKIPPED_NUMBERS = """
SELECT DISTINCT c.number FROM applications a
JOIN skipped_numbers s ON s.application_id = a.id
JOIN chats c ON c.id = s.chat_id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL
"""
_COUNTERS_A_PAGE = 500


class CounterLimit(msgspec.Struct, frozen=True):
    """What MySQL knows of a counter: its highest stored number and its ceiling."""

    counter: Counter
    last: int
    ceiling: int


class CounterMismatch(msgspec.Struct, frozen=True):
    """A counter that MySQL contradicts: its last number is too low (`behind`), or its ceiling too high."""

    counter: Counter
    behind: bool
    text: str


class CounterLimits:
    """The counters of live applications and chats in MySQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases = MySqlLeases(database)

    def of_application(self, token: AppToken) -> list[CounterLimit]:
        """The counter of its chats; an empty list if there is no such application."""
        rows = self._database.read(APPLICATION_LIMIT, (token,))
        return [CounterLimit(Counter(token), int(last), ceiling) for last, ceiling in rows]

    def of_chats(self, token: AppToken, after: int, limit: int) -> list[CounterLimit]:
        """The counters of messages, in the order of the chats, after the chat `after`."""
        rows = self._database.read(CHAT_LIMITS, (token, after, limit))
        return [
            CounterLimit(Counter(token, ChatNumber(chat)), last, ceiling)
            for chat, last, ceiling in rows
        ]

    def of_counter(self, counter: Counter) -> list[CounterLimit]:
        """One counter; an empty list if its application or chat was deleted."""
        if counter.chat is None:
            return self.of_application(counter.token)
        page = self.of_chats(counter.token, counter.chat - 1, 1)
        return [limit for limit in page if limit.counter == counter]

    def pages(self, token: AppToken) -> Iterator[Sequence[CounterLimit]]:
        """All counters of an application."""
        yield self.of_application(token)
        after = 0
        while page := self.of_chats(token, after, _COUNTERS_A_PAGE):
            yield page
            after = page[-1].counter.chat or 0

    def skipped_messages(self, token: AppToken) -> int:
        """How many message numbers of an application are skipped."""
        chats = [chat for (chat,) in self._database.read(CHATS_WITH_SKIPPED_NUMBERS, (token,))]
        return sum(count(self._leases.skipped_numbers(token, chat)) for chat in chats)


class _RedisCounter(msgspec.Struct, frozen=True):
    """What this incarnation may still issue."""

    last: int
    ceiling: int


def counter_mismatches(
    client: redis.Redis, limits: CounterLimits, token: AppToken
) -> Iterator[CounterMismatch]:
    """Counters that could issue a number twice, or above their ceiling. Each was read twice."""
    holders = {incarnation(client), FIXED_HOLDER}
    for page in limits.pages(token):
        counters = _read_counters(client, page, holders)
        for limit in page:
            first = counters.get(limit.counter)
            if first and (first.last < limit.last or first.ceiling > limit.ceiling):
                for limit_now in limits.of_counter(limit.counter):
                    second = _read_counters(client, [limit_now], holders).get(limit.counter)
                    if second:
                        yield from _confirm(limit, first, limit_now, second)


def incarnation(client: redis.Redis) -> str:
    """The name of this server's incarnation, as the scripts make it (`common.lua`)."""
    server = cast(dict[str, str], client.info("server"))
    replication = cast(dict[str, str], client.info("replication"))
    return server["run_id"][:16] + replication["master_replid"][:16]


def _confirm(
    limit: CounterLimit, first: _RedisCounter, limit_now: CounterLimit, second: _RedisCounter
) -> Iterator[CounterMismatch]:
    """A lease is extended in MySQL before Redis, and each `last` was read after its limit."""
    if second.last < limit.last:
        yield CounterMismatch(
            limit.counter, True, f"last is {second.last}, but MySQL has stored {limit.last}"
        )
    if first.ceiling == second.ceiling > limit_now.ceiling:
        yield CounterMismatch(
            limit.counter,
            False,
            f"ceiling is {second.ceiling}, but MySQL has granted {limit_now.ceiling}",
        )


def _read_counters(
    client: redis.Redis, limits: Iterable[CounterLimit], holders: set[str]
) -> dict[Counter, _RedisCounter]:
    """The counters that exist in Redis and belong to one of the holders."""
    by_counter = {}
    for counters in batched([limit.counter for limit in limits], _COUNTERS_A_PAGE):
        with client.pipeline(transaction=False) as pipeline:
            for counter in counters:
                pipeline.hmget(counter_key(counter), ["last", "ceiling", "holder"])
            replies = pipeline.execute()
        for counter, (last, ceiling, holder) in zip(counters, replies, strict=True):
            if holder is not None and holder.decode() in holders:
                by_counter[counter] = _RedisCounter(int(last), int(ceiling))
    return by_counter
