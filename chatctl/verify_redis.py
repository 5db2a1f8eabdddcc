"""MySQL against Redis: what is pending, and how far the counters go.

A counter that is missing is none that differs: a lease is begun with the next number. Nor does that of
another memory count, such as one out of an old snapshot: no number leaves it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from typing import cast

import msgspec
import redis

from chalicelib.adapters.redis import keys
from chalicelib.domain.leases import Counter
from chalicelib.operators.counter_limits import Allowances, RateLimit
from chatctl.pending import pending_counters

AT_ONCE = 500
# The holder of all counters where the store keeps every write over a failover.
FIXED_HOLDER = "the-store-keeps-writes"


class HeldCounter(msgspec.Struct, frozen=True):
    """What this memory may still hand out."""

    last: int
    ceiling: int


class Odd(msgspec.Struct, frozen=True):
    """A counter that MySQL contradicts: its `last` is behind, or else its ceiling is too high."""

    counter: Counter
    behind: bool
    what: str


def pending_revisions(client: redis.Redis, token: str) -> Iterator[tuple[Counter, dict[int, int]]]:
    """Revisions of pending entries by their number, some at a time."""
    for counter in pending_counters(client, token):
        least = "-inf"
        while entries := cast(
            list[tuple[bytes, float]],
            client.zrange(
                keys.pending(counter), least, "+inf", byscore=True, offset=0, num=AT_ONCE,
                withscores=True,
            ),
        ):  # fmt: skip
            yield counter, {int(score): int(entry.partition(b"|")[0]) for entry, score in entries}
            least = f"({int(entries[-1][1])}"


def odd_counters(client: redis.Redis, store: Allowances, token: str) -> Iterator[Odd]:
    """Those that could hand out a number twice, or more than was allowed; each was looked at twice."""
    holders = {memory(client), FIXED_HOLDER}
    for allowances in _allowances(store, token):
        held = _held(client, allowances, holders)
        for allowed in allowances:
            first = held.get(allowed.counter)
            if first and (first.last < allowed.last or first.ceiling > allowed.ceiling):
                for again in _allowance(store, allowed.counter):
                    if second := _held(client, [again], holders).get(allowed.counter):
                        yield from _judged(allowed, first, again, second)


def memory(client: redis.Redis) -> str:
    """The name of this server's memory, as the scripts make it (`common.lua`)."""
    server = cast(dict[str, str], client.info("server"))
    replication = cast(dict[str, str], client.info("replication"))
    return server["run_id"][:16] + replication["master_replid"][:16]


def _judged(
    allowed: RateLimit, first: HeldCounter, again: RateLimit, second: HeldCounter
) -> Iterator[Odd]:
    """MySQL is raised before Redis, and each `last` was read after the one that it is compared with."""
    if second.last < allowed.last:
        yield Odd(allowed.counter, True, f"last is {second.last}, and {allowed.last} is stored")
    if first.ceiling == second.ceiling > again.ceiling:
        yield Odd(
            allowed.counter, False, f"ceiling is {second.ceiling}, and {again.ceiling} is allowed"
        )


def _allowances(store: Allowances, token: str) -> Iterator[Sequence[RateLimit]]:
    yield store.of_application(token)
    after = 0
    while page := store.of_chats(token, after, AT_ONCE):
        yield page
        after = page[-1].counter.chat or 0


def _allowance(store: Allowances, counter: Counter) -> Sequence[RateLimit]:
    if counter.chat is None:
        return store.of_application(counter.token)
    page = store.of_chats(counter.token, counter.chat - 1, 1)
    return [rate_limit for rate_limit in page if rate_limit.counter == counter]


def _held(
    client: redis.Redis, allowances: Iterable[RateLimit], holders: set[str]
) -> dict[Counter, HeldCounter]:
    """The counters that are there and this memory's."""
    held = {}
    for some in batched([a.counter for a in allowances], AT_ONCE):
        with client.pipeline(transaction=False) as pipeline:
            for counter in some:
                pipeline.hmget(keys.counter(counter), ["last", "ceiling", "holder"])
            for counter, (last, ceiling, holder) in zip(some, pipeline.execute(), strict=True):
                if holder is not None and holder.decode() in holders:
                    held[counter] = HeldCounter(int(last), int(ceiling))
    return held
