"""What Redis needs, by its own account of all its memory, before and after."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import redis

from chalicelib.adapters.clock import SystemClock
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import Message
from tests.bench.ground import Ground
from tests.bench.measure import plain
from tests.bench.rows import Row
from tests.contract.states import application, hold_first_lease, introduce

COUNT, ROUNDS = 5_000, 3
BODY = "x" * 100
DRAFT = Message(
    number=0, revision=0, body=BODY, sender="ann", created_at="2026-09-21T14:13:20.000Z"
)


def memory(ground: Ground) -> Iterator[Row]:
    """Of a chat that is written to, of a message of 100 characters that is not persisted yet, and so on."""
    client = redis.Redis.from_url(ground.redis_url)
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, each in _measured(ground, client):
            found.setdefault(name, []).append(each)
    for name, values in found.items():
        yield plain(f"memory, {name}", "bytes", values)


def _measured(ground: Ground, client: "redis.Redis") -> Iterator[tuple[str, float]]:
    sequencer = RedisSequencer(
        ground.redis_url, SystemClock(), 10 * COUNT, "", COUNT * 2, COUNT * 2
    )
    token = secrets.token_hex(15)
    introduce(sequencer, application(token))
    counters = [Counter(token, number) for number in range(1, COUNT + 1)]

    def accept(idempotency: Callable[[int], IdempotencyKey | None]) -> int:
        accepted = [
            sequencer.accept(counters[0], 1, [DRAFT], idempotency(at)) for at in range(COUNT)
        ]
        assert all(isinstance(one, Accepted) for one in accepted)
        return _used(client)

    def acknowledge() -> int:
        sequencer.acknowledge({counters[0]: dict.fromkeys(range(1, 2 * COUNT + 1), 2**62)})
        return _used(client)

    before = _used(client)
    for counter in counters:
        hold_first_lease(sequencer, counter, 10 * COUNT)
    active = _used(client)
    yield "active chat", (active - before) / COUNT
    for counter in sequencer.list_idle([token], 0, COUNT):
        closing = sequencer.mark_releasing(counter, 0)
        assert closing is not None
        sequencer.forget_released(counter, closing)
    idle = _used(client)
    yield "idle chat", (idle - before) / COUNT
    hold_first_lease(sequencer, counters[0], 10 * COUNT)
    yield "pending message", (accept(lambda _: None) - idle) / COUNT
    acknowledged = acknowledge()
    accept(lambda at: IdempotencyKey(f"{at:036d}", secrets.token_hex(32)))
    yield "idempotency key", (acknowledge() - acknowledged) / COUNT
    sequencer.close()


def _used(client: "redis.Redis") -> int:
    told: Any = client.info("memory")
    return int(told["used_memory"])
