"""A Redis server of 64 MB that refuses writes when it is full. One tenant fills it, another one works on."""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from chalicelib.adapters.redis.codec import usage_key
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    BackpressureError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import (
    Accepted,
    Counter,
    EditPrecondition,
    LeaseGrant,
    LeaseMissing,
    PendingPage,
)
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.paging import PageRequest, only
from chalicelib.domain.rate_limits import Bucket
from chalicelib.domain.unread import UnpersistedChats
from infra.local.console import StackError
from infra.local.install import valkey_server
from tests.contract.cluster import free_port
from tests.contract.factories import application, cache_application, hold_first_lease
from tests.fakes.clock import FakeClock
from tests.fakes.sequencer import InMemorySequencer

SERVER_BYTES = 64 * 1024 * 1024
NOW = "2026-09-21T14:13:20.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)
FIRST = PageRequest(limit=1)
WINDOW = 1_000_000


def message(body: str = "hello") -> Message:
    return Message(number=0, revision=0, body=body, sender="ann", created_at=NOW)


@contextmanager
def running_valkey() -> Iterator["redis.Redis"]:
    """A server of its own. Skips, with a reason, if the server is not installed."""
    try:
        program = valkey_server()
    except StackError as missing:
        pytest.skip(str(missing))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        words = f"--bind 127.0.0.1 --port {port} --dir {folder} --save".split()
        limits = f"--maxmemory {SERVER_BYTES} --maxmemory-policy noeviction".split()
        process = subprocess.Popen(
            [str(program), *words, "", *limits], stdout=subprocess.DEVNULL, cwd=folder
        )
        client = redis.Redis(port=port)
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < until, "the server did not start"
                    time.sleep(0.05)  # the pause between two checks
            yield client
        finally:
            client.close()
            process.kill()
            process.wait()


@pytest.fixture
def valkey() -> Iterator["redis.Redis"]:
    with running_valkey() as client:
        yield client


@pytest.fixture
def sequencer(valkey: "redis.Redis") -> Iterator[RedisSequencer]:
    port = valkey.connection_pool.connection_kwargs["port"]
    sequencer = RedisSequencer(f"redis://127.0.0.1:{port}/0", SystemClock(), WINDOW)
    yield sequencer
    sequencer.close()


class User:
    """An application with a chat, and what it does at the level of the scripts."""

    def __init__(self, sequencer: RedisSequencer) -> None:
        self.sequencer = sequencer
        self.tenant = Tenant(secrets.token_hex(15), 1)
        self.chats, self.chat = Counter(self.tenant.token), Counter(self.tenant.token, 1)
        cache_application(sequencer, application(self.tenant.token))
        not_ready = sequencer.accept(self.tenant, self.chats, [CHAT])
        assert isinstance(not_ready, LeaseMissing)
        lease = Lease(not_ready.holder, 1, WINDOW)
        assert sequencer.install_lease(self.chats, not_ready.nonce, LeaseGrant(0, lease))
        self.create_chats(1)

    def create_chats(self, chats: int) -> None:
        accepted = self.sequencer.accept(self.tenant, self.chats, [CHAT] * chats)
        assert isinstance(accepted, Accepted)
        revisions = {accepted.first + i: accepted.revision + i for i in range(chats)}
        self.sequencer.acknowledge({self.chats: revisions})

    def post(self, *bodies: str, key: IdempotencyKey | None = None) -> Accepted:
        drafts = [message(body) for body in bodies]
        accepted = self.sequencer.accept(self.tenant, self.chat, drafts, key)
        assert isinstance(accepted, Accepted)
        return accepted

    def persist(self, accepted: Accepted) -> None:
        numbers = range(accepted.first, accepted.last + 1)
        revisions = {n: accepted.revision + n - accepted.first for n in numbers}
        self.sequencer.acknowledge({self.chat: revisions})

    def edit(self, version: Message, key: IdempotencyKey | None = None) -> Accepted:
        page = self.sequencer.read_pending(self.tenant, self.chat, only(version.number))
        assert isinstance(page, PendingPage)
        precondition = EditPrecondition(version.revision, page.edits, 0)
        edited = self.sequencer.edit(self.tenant, self.chat, version, precondition, key)
        assert isinstance(edited, Accepted)
        return edited


# --- one tenant stores as much as it can


def post_with_keys_of_many_users(noisy: User, n: int) -> None:
    noisy.persist(noisy.post("x", key=IdempotencyKey(f"key {n}", "f" * 64, f"user {n % 1000}")))


def edit_metadata_of_a_long_message(noisy: User, n: int) -> None:
    long = replace(message("\N{GRINNING FACE}" * 20_000), number=1, metadata={"i": n})
    edited = noisy.edit(replace(long, revision=0), IdempotencyKey(f"edit {n}", "f" * 64, "ann"))
    noisy.sequencer.acknowledge({noisy.chat: {1: edited.revision}})


def post_without_workers(noisy: User, _: int) -> None:
    noisy.post(*["x" * 20_000] * 10)


def create_chats(noisy: User, _: int) -> None:
    noisy.create_chats(500)


def write_to_many_chats(noisy: User, n: int) -> None:
    counter = Counter(noisy.tenant.token, 10 + n)
    not_ready = noisy.sequencer.accept(noisy.tenant, counter, [message()])
    assert isinstance(not_ready, LeaseMissing)
    lease = Lease(not_ready.holder, 1, WINDOW)
    noisy.sequencer.install_lease(counter, not_ready.nonce, LeaseGrant(0, lease))


def delete_chats(noisy: User, n: int) -> None:
    stored = replace(CHAT, number=10 + n, revision=1, deleted_at=NOW)
    page = noisy.sequencer.read_pending(noisy.tenant, noisy.chats, only(stored.number))
    assert isinstance(page, PendingPage)
    precondition = EditPrecondition(1, page.edits, 0)
    deleted = noisy.sequencer.edit(noisy.tenant, noisy.chats, stored, precondition)
    assert isinstance(deleted, Accepted)
    noisy.sequencer.acknowledge({noisy.chats: {stored.number: deleted.revision}})


# What the tenant has stored before, as a part of its budget: the ways with small steps start below the end.
WAYS: list[tuple[Callable[[User, int], None], dict[str, float]]] = [
    (post_with_keys_of_many_users, {"lasting": 0.93}),
    (edit_metadata_of_a_long_message, {}),
    (post_without_workers, {}),
    (create_chats, {}),
    (write_to_many_chats, {"pending": 0.97}),
    (delete_chats, {"lasting": 0.985}),
]


def count_as_stored(noisy: User, valkey: Any, shares: dict[str, float]) -> None:
    for field, share in shares.items():
        counted = int(SERVER_BYTES / 4 * share)
        hour = str(int(time.time()) // 3600) if field == "lasting" else field
        valkey.hset(usage_key(noisy.tenant.token), mapping={field: counted, hour: counted})


def fill(noisy: User, way: Callable[[User, int], None]) -> RateLimitedError | BackpressureError:
    """The refusal that ends it."""
    for n in count():
        try:
            way(noisy, n)
        except (RateLimitedError, BackpressureError) as refused:
            return refused
    raise AssertionError


def use_everything(other: User) -> None:
    """Read, post, edit, delete, and what the workers and the schedules do for it."""
    sequencer, tenant = other.sequencer, other.tenant
    accepted = other.post("hello", key=IdempotencyKey(secrets.token_hex(8), "f" * 64, "bob"))
    version = replace(message("new"), number=accepted.first, revision=accepted.revision)
    edited = other.edit(version)
    deleted = other.edit(replace(version, revision=edited.revision, body="", deleted_at=NOW))
    page = sequencer.read_pending(tenant, other.chat, FIRST)
    assert isinstance(page, PendingPage)
    assert isinstance(sequencer.read_unpersisted(tenant, [1]), UnpersistedChats)
    other.create_chats(1)
    work_for(other, accepted.first, deleted.revision)


def work_for(other: User, number: int, revision: int) -> None:
    """What the workers, the schedules and the admin do for an application."""
    sequencer, token = other.sequencer, other.tenant.token
    due = int(time.time() * 1000) + 100_000_000
    sequencer.postpone({other.chat: {number: due}})
    assert sequencer.get_pending({other.chat: [number]})[other.chat]
    sequencer.acknowledge({other.chat: {number: revision}})
    assert not sequencer.get_pending({other.chat: [number]})[other.chat]
    sequencer.block_chats(token, [77])
    with pytest.raises(GoneError):
        sequencer.read_pending(other.tenant, Counter(token, 77), FIRST)


@pytest.mark.parametrize(("way", "stored"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_a_tenant_that_stores_as_much_as_it_can_is_refused_by_name_and_no_other_is(
    sequencer: RedisSequencer,
    valkey: Any,
    way: Callable[[User, int], None],
    stored: dict[str, float],
) -> None:
    noisy, other = User(sequencer), User(sequencer)
    count_as_stored(noisy, valkey, stored)
    refused = fill(noisy, way)
    if isinstance(refused, RateLimitedError):
        assert refused.limit == "memory"
        noisy.post("a request without a key")
    assert valkey.info("memory")["used_memory"] < SERVER_BYTES / 2
    use_everything(other)
    sequencer.block_application(other.tenant.token)
    with pytest.raises(NotFoundError):
        other.post("hello")


def test_many_tenants_that_store_as_much_as_they_can_do_not_fill_the_server(
    sequencer: RedisSequencer, valkey: Any
) -> None:
    other, noisy = User(sequencer), [User(sequencer) for _ in range(8)]
    for each in noisy:
        fill(each, post_without_workers)
    used = valkey.info("memory")["used_memory"]
    assert 0.8 * SERVER_BYTES < used < 0.99 * SERVER_BYTES
    use_everything(other)


def test_an_application_gets_its_memory_back(sequencer: RedisSequencer, valkey: Any) -> None:
    noisy, accepted = User(sequencer), []
    with suppress(BackpressureError):
        while True:
            accepted.append(noisy.post(*["x" * 20_000] * 10))
    counted = int(valkey.hget(usage_key(noisy.tenant.token), "pending"))
    assert 0.24 * SERVER_BYTES < counted <= 0.25 * SERVER_BYTES
    for each in accepted:
        noisy.persist(each)
    assert int(valkey.hget(usage_key(noisy.tenant.token), "pending")) == 0
    noisy.post("hello")


# --- the server is full


class FullServer:
    """A sequencer whose server is full from `fill` on."""

    def __init__(self, sequencer: RedisSequencer, fill: Callable[[], object]) -> None:
        self.sequencer, self.fill = sequencer, fill


@pytest.fixture(params=["fake", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[FullServer]:
    if request.param == "fake":
        fake = InMemorySequencer(FakeClock(), WINDOW)

        def fill_fake() -> None:
            fake.server.max_bytes, fake.server.used_bytes = 1_000, 1_001

        yield FullServer(fake, fill_fake)
        return
    valkey = request.getfixturevalue("valkey")
    real = request.getfixturevalue("sequencer")
    yield FullServer(real, lambda: valkey.config_set("maxmemory", 1_000_000))


def limited(user: User) -> Tenant:
    return replace(user.tenant, buckets=(Bucket(0.01, 5),))


def test_a_full_server_serves_reads_and_takes_nothing_for_them(server: FullServer) -> None:
    sequencer, user = server.sequencer, User(server.sequencer)
    user.post("hello")
    server.fill()
    for _ in range(3):
        page = sequencer.read_pending(limited(user), user.chat, FIRST)
        assert isinstance(page, PendingPage)
        assert [entry.version.number for entry in page.pending] == [1]
        unpersisted = sequencer.read_unpersisted(limited(user), [1])
        assert isinstance(unpersisted, UnpersistedChats)
        assert [each.left for each in (*page.remaining, *unpersisted.remaining)] == [4, 4]
    uncached = application(secrets.token_hex(15))
    cache_application(sequencer, uncached)
    page = sequencer.read_pending(Tenant(uncached.token, 1), Counter(uncached.token), FIRST)
    assert isinstance(page, PendingPage)


def test_a_full_server_refuses_writes_and_changes_nothing(server: FullServer) -> None:
    sequencer, user = server.sequencer, User(server.sequencer)
    user.post("hello")
    server.fill()
    for tenant in (user.tenant, limited(user)):
        for counter, drafts in ((user.chat, [message()]), (user.chats, [CHAT])):
            with pytest.raises(UnavailableError):
                sequencer.accept(tenant, counter, drafts)
    page = sequencer.read_pending(limited(user), user.chat, PageRequest(limit=9))
    assert isinstance(page, PendingPage)
    assert len(page.pending) == 1


def test_the_workers_and_the_admin_work_on_a_full_server(server: FullServer) -> None:
    sequencer, user, other = server.sequencer, User(server.sequencer), User(server.sequencer)
    accepted = user.post("hello")
    chats = sequencer.accept(user.tenant, user.chats, [CHAT])
    assert isinstance(chats, Accepted)
    small = Counter(user.tenant.token, 5)
    hold_first_lease(sequencer, small, 1)
    not_ready = sequencer.accept(user.tenant, Counter(user.tenant.token, 6), [message()])
    assert isinstance(not_ready, LeaseMissing)
    server.fill()
    work_for(user, accepted.first, accepted.revision)
    sequencer.acknowledge({user.chats: {chats.first: chats.revision}})
    lease = Lease(not_ready.holder, 1, 9)
    sequencer.extend_lease(small, lease)
    assert sequencer.install_lease(
        Counter(user.tenant.token, 6), not_ready.nonce, LeaseGrant(0, lease)
    )
    idle = sequencer.list_idle([user.tenant.token], 0, 10)
    releasing = sequencer.mark_releasing(idle, 0)
    assert set(releasing) == set(idle)
    sequencer.forget_released(releasing)
    assert sequencer.list_idle([user.tenant.token], 0, 10) == []
    sequencer.invalidate_key_cache(user.tenant.token)
    sequencer.forget_application(user.tenant.token)
    sequencer.block_application(other.tenant.token)
    with pytest.raises(NotFoundError):
        sequencer.read_pending(other.tenant, other.chat, FIRST)
