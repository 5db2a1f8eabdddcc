"""What Redis needs, by its own account of all its memory, before and after."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import redis

from chalicelib.adapters.clock import SystemClock
from chalicelib.adapters.redis.sequencer import RedisLedger
from chalicelib.domain.idempotency import IdempotencyMark
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
    ledger = RedisLedger(ground.redis_url, SystemClock(), 10 * COUNT, "", COUNT * 2, COUNT * 2)
    token = secrets.token_hex(15)
    introduce(ledger, application(token))
    counters = [Counter(token, number) for number in range(1, COUNT + 1)]

    def accept(mark: Callable[[int], IdempotencyMark | None]) -> int:
        accepted = [ledger.accept(counters[0], 1, [DRAFT], mark(at)) for at in range(COUNT)]
        assert all(isinstance(one, Accepted) for one in accepted)
        return _used(client)

    def settle() -> int:
        ledger.settle({counters[0]: dict.fromkeys(range(1, 2 * COUNT + 1), 2**62)})
        return _used(client)

    before = _used(client)
    for counter in counters:
        hold_first_lease(ledger, counter, 10 * COUNT)
    active = _used(client)
    yield "active chat", (active - before) / COUNT
    for counter in ledger.quiet([token], 0, COUNT):
        closing = ledger.start_closing(counter, 0)
        assert closing is not None
        ledger.finish_closing(counter, closing)
    idle = _used(client)
    yield "idle chat", (idle - before) / COUNT
    hold_first_lease(ledger, counters[0], 10 * COUNT)
    yield "pending message", (accept(lambda _: None) - idle) / COUNT
    settled = settle()
    accept(lambda at: IdempotencyMark(f"{at:036d}", secrets.token_hex(32)))
    yield "idempotency key", (settle() - settled) / COUNT
    ledger.close()


def _used(client: "redis.Redis") -> int:
    told: Any = client.info("memory")
    return int(told["used_memory"])
