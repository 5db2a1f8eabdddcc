"""The RAM of a chat in a real Valkey: none while it is idle, little while it is active."""

import secrets
from collections.abc import Iterator

import pytest
import redis
from msgspec.structs import replace

from chalicelib.adapters.redis.codec import usage_key
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Accepted, Counter, EditPrecondition, PendingPage
from chalicelib.domain.models import Message
from chalicelib.domain.paging import only
from tests.contract.conftest import part_url
from tests.contract.factories import application, cache_application, hold_first_lease

CHATS = 300
BODY = "x" * 100
NOW = "2026-09-21T14:13:20.000Z"
COUNTER_BYTES = 300  # as in common.lua
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
    once = {f"{{{token}}}:{name}".encode() for name in ("application", "usage")}
    return sum(valkey.memory_usage(key, samples=0) for key in keys if key not in once)


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


def counted(valkey: "redis.Redis", token: str, field: str) -> int:
    return int(valkey.hget(usage_key(token), field) or 0)


@pytest.mark.parametrize(("chats", "messages"), [(CHATS, 1), (3, 200)])
def test_what_is_counted_for_an_application_is_what_it_takes(
    sequencer: RedisSequencer, valkey: "redis.Redis", chats: int, messages: int
) -> None:
    token = secrets.token_hex(15)
    cache_application(sequencer, application(token))
    draft = Message(number=0, revision=0, body=BODY, sender="ann", created_at=NOW)
    pending = {}
    for number in range(1, chats + 1):
        counter = Counter(token, number)
        hold_first_lease(sequencer, counter, 1000)
        accepted = sequencer.accept(Tenant(token, 1), counter, [draft] * messages)
        assert isinstance(accepted, Accepted)
        pending[counter] = {n + 1: accepted.revision + n for n in range(messages)}
    with_counters = counted(valkey, token, "pending") + chats * COUNTER_BYTES
    assert 0.85 * size(valkey, token) < with_counters < 1.25 * size(valkey, token)
    sequencer.acknowledge(pending)
    assert counted(valkey, token, "pending") == 0


def test_what_is_stored_with_keys_is_counted_for_the_application_and_the_user(
    sequencer: RedisSequencer, valkey: "redis.Redis"
) -> None:
    token, users = secrets.token_hex(15), 20
    cache_application(sequencer, application(token))
    counter = Counter(token, 1)
    hold_first_lease(sequencer, counter, 1000)
    draft, revisions = Message(number=0, revision=0, body=BODY, created_at=NOW), {}
    before = size(valkey, token)
    for n in range(200):
        idempotency = IdempotencyKey(f"key {n}", secrets.token_hex(32), f"user {n % users}")
        accepted = sequencer.accept(Tenant(token, 1), counter, [draft], idempotency)
        assert isinstance(accepted, Accepted)
        revisions[accepted.first] = accepted.revision
    sequencer.acknowledge({counter: revisions})
    of_application, real = counted(valkey, token, "lasting"), size(valkey, token) - before
    of_users = [int(valkey.hget(usage_key(token, f"user {n}"), "lasting") or 0) for n in range(20)]
    assert sum(of_users) == of_application
    assert 0.85 * real < of_application < 1.25 * real


def test_an_edit_of_a_long_message_leaves_less_than_a_kilobyte(
    sequencer: RedisSequencer, valkey: "redis.Redis"
) -> None:
    token = secrets.token_hex(15)
    counter = Counter(token, 1)
    cache_application(sequencer, application(token))
    hold_first_lease(sequencer, counter, 1000)
    tenant = Tenant(token, 1)
    draft = Message(number=0, revision=0, body="\N{GRINNING FACE}" * 20_000, created_at=NOW)
    posted = sequencer.accept(tenant, counter, [draft])
    assert isinstance(posted, Accepted)
    sequencer.acknowledge({counter: {1: posted.revision}})
    before, edits = size(valkey, token), 20
    for n in range(edits):
        page = sequencer.read_pending(tenant, counter, only(1))
        assert isinstance(page, PendingPage)
        edited = sequencer.edit(
            tenant,
            counter,
            replace(draft, number=1, metadata={"n": n}),
            EditPrecondition(posted.revision, page.edits, 0),
            IdempotencyKey(f"key {n}", secrets.token_hex(32)),
        )
        assert isinstance(edited, Accepted)
        sequencer.acknowledge({counter: {1: edited.revision}})
    assert size(valkey, token) - before < edits * 1_024


def write_to(sequencer: RedisSequencer, counter: Counter) -> int:
    """The revision of the first message of a chat."""
    draft = Message(number=0, revision=0, body=BODY, sender="ann", created_at=NOW)
    hold_first_lease(sequencer, counter, 1000)
    accepted = sequencer.accept(Tenant(counter.token, 1), counter, [draft])
    assert isinstance(accepted, Accepted)
    return accepted.revision
