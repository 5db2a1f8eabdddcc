"""The memory that Redis needs, from its own `used_memory` before and after."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import redis

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from tests.bench.harness import Harness
from tests.bench.measure import plain
from tests.bench.rows import Row
from tests.contract.factories import application, cache_application, hold_first_lease

COUNT, ROUNDS = 5_000, 3
BODY = "x" * 100
DRAFT = Message(
    number=MessageNumber(0),
    revision=Revision(0),
    body=BODY,
    sender="ann",
    created_at=Timestamp("2026-09-21T14:13:20.000Z"),
)


def memory(harness: Harness) -> Iterator[Row]:
    """The bytes of an active chat, of an idle chat, of a pending message, and of an idempotency key."""
    client = redis.Redis.from_url(harness.redis_url)
    bytes_by_name: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, size in _measured(harness, client):
            bytes_by_name.setdefault(name, []).append(size)
    for name, values in bytes_by_name.items():
        yield plain(f"memory, {name}", "bytes", values)


def _measured(harness: Harness, client: "redis.Redis") -> Iterator[tuple[str, float]]:
    sequencer = RedisSequencer(
        harness.redis_url, SystemClock(), 10 * COUNT, "", COUNT * 2, COUNT * 2
    )
    token = AppToken(secrets.token_hex(15))
    cache_application(sequencer, application(token))
    counters = [Counter(token, ChatNumber(number)) for number in range(1, COUNT + 1)]

    def accept(idempotency: Callable[[int], IdempotencyKey | None]) -> int:
        accepted = [
            sequencer.accept(Tenant(token, 1), counters[0], [DRAFT], idempotency(i))
            for i in range(COUNT)
        ]
        assert all(isinstance(result, Accepted) for result in accepted)
        return _used(client)

    def acknowledge() -> int:
        sequencer.acknowledge({counters[0]: dict.fromkeys(range(1, 2 * COUNT + 1), 2**62)})
        return _used(client)

    before = _used(client)
    for counter in counters:
        hold_first_lease(sequencer, counter, 10 * COUNT)
    active = _used(client)
    yield "active chat", (active - before) / COUNT
    releasing = sequencer.mark_releasing(sequencer.list_idle([token], 0, COUNT), 0)
    sequencer.forget_released(releasing)
    idle = _used(client)
    yield "idle chat", (idle - before) / COUNT
    hold_first_lease(sequencer, counters[0], 10 * COUNT)
    yield "pending message", (accept(lambda _: None) - idle) / COUNT
    acknowledged = acknowledge()
    accept(lambda i: IdempotencyKey(f"{i:036d}", secrets.token_hex(32)))
    yield "idempotency key", (acknowledge() - acknowledged) / COUNT
    sequencer.close()


def _used(client: "redis.Redis") -> int:
    info: Any = client.info("memory")
    return int(info["used_memory"])
