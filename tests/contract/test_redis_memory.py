"""The RAM of a chat in a real Valkey: none while it is idle, little while it is active."""

import secrets
from collections.abc import Iterator

import pytest
import redis

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import Message
from tests.contract.conftest import part_url
from tests.contract.factories import application, cache_application, hold_first_lease

CHATS = 300
BODY = "x" * 100
NOW = "2026-09-21T14:13:20.000Z"
# Rounded up from measurements with Valkey 9.1 (docs/reliability.md).
MOST_BYTES_OF_ACTIVE_CHAT = 350
MOST_BYTES_OF_PENDING_MESSAGE = 1_400


@pytest.fixture
def sequencer() -> Iterator[RedisSequencer]:
    sequencer = RedisSequencer(part_url("redis"), SystemClock(), 1000)
    yield sequencer
    sequencer.close()


@pytest.fixture
def valkey() -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(part_url("redis"))
    yield client
    client.close()


def size(valkey: "redis.Redis", token: str) -> int:
    """Bytes of all keys of an application, except those that it has once."""
    keys = valkey.scan_iter(match=f"{{{token}}}:*", count=1000)
    idempotency = f"{{{token}}}:application".encode()
    return sum(valkey.memory_usage(key, samples=0) for key in keys if key != idempotency)


def test_ram_grows_with_active_chats_only(sequencer: RedisSequencer, valkey: "redis.Redis") -> None:
    token = secrets.token_hex(15)
    cache_application(sequencer, application(token))
    revisions = {
        number: write_to(sequencer, Counter(token, number)) for number in range(1, CHATS + 1)
    }
    pending = size(valkey, token)
    for number, revision in revisions.items():
        sequencer.acknowledge({Counter(token, number): {1: revision}})
    active = size(valkey, token)
    releasing = sequencer.mark_releasing(sequencer.list_idle([token], 0, CHATS), 0)
    sequencer.forget_released(releasing)
    print(f"bytes: active chat {active / CHATS:.0f}, pending {(pending - active) / CHATS:.0f}")
    assert size(valkey, token) == 0
    assert 0 < active < CHATS * MOST_BYTES_OF_ACTIVE_CHAT
    assert active < pending < active + CHATS * MOST_BYTES_OF_PENDING_MESSAGE


def write_to(sequencer: RedisSequencer, counter: Counter) -> int:
    """The revision of the first message of a chat."""
    draft = Message(number=0, revision=0, body=BODY, sender="ann", created_at=NOW)
    hold_first_lease(sequencer, counter, 1000)
    accepted = sequencer.accept(Tenant(counter.token, 1), counter, [draft])
    assert isinstance(accepted, Accepted)
    return accepted.revision
