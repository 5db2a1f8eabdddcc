"""What the sequencer promises, on the server in memory, on a real Valkey and on a cluster of it."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import chain

import pytest
from msgspec.structs import replace

from chalicelib.adapters.redis.codec import Charges, application_key, counter_key
from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS, RedisSequencer
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    BackpressureError,
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import (
    Accepted,
    ApplicationNotCached,
    Counter,
    EditPrecondition,
    IssuedUpTo,
    LeaseContended,
    LeaseExhausted,
    LeaseGrant,
    LeaseMissing,
    LeaseReleasing,
    PendingPage,
)
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.rate_limits import Bucket, Remaining
from chalicelib.domain.times import rfc3339
from chalicelib.domain.unread import UnpersistedChat, UnpersistedChats
from chalicelib.usecases.ports import Sequencer
from tests.contract.cluster import Cluster, running_cluster
from tests.contract.conftest import part_url
from tests.contract.factories import application, cache_application
from tests.fakes.clock import FakeClock
from tests.fakes.sequencer import InMemorySequencer

NOW = "2026-09-21T14:13:20.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)
ALL = PageRequest(limit=1000)


def message(body: str = "hello") -> Message:
    return Message(number=0, revision=0, body=body, sender="ann", created_at=NOW)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["fake", "valkey", "cluster"])
def sequencer(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Sequencer]:
    if request.param == "fake":
        yield InMemorySequencer(clock)
        return
    of_cluster = request.param == "cluster"
    url = request.getfixturevalue("cluster").url if of_cluster else part_url("redis")
    sequencer = RedisSequencer(url, clock, 1000)
    yield sequencer
    sequencer.close()


@pytest.fixture
def token(sequencer: Sequencer) -> str:
    token = secrets.token_hex(15)
    cache_application(sequencer, application(token))
    return token


def acquire(
    sequencer: Sequencer, counter: Counter, floor: int = 0, epoch: int = 1, window: int = 1000
) -> None:
    drafts = [CHAT] if counter.chat is None else [message()]
    not_ready = sequencer.accept(Tenant(counter.token, 1), counter, drafts)
    assert isinstance(not_ready, LeaseMissing)
    grant = LeaseGrant(floor, Lease(not_ready.holder, epoch, floor + window))
    assert sequencer.install_lease(counter, not_ready.nonce, grant)


def accept(
    sequencer: Sequencer,
    counter: Counter,
    drafts: list[Message] | list[Chat],
    idempotency: IdempotencyKey | None = None,
) -> Accepted:
    accepted = sequencer.accept(Tenant(counter.token, 1), counter, drafts, idempotency)
    assert isinstance(accepted, Accepted)
    return accepted


def read_pending(
    sequencer: Sequencer,
    counter: Counter,
    page: PageRequest = ALL,
    idempotency: IdempotencyKey | None = None,
    *buckets: Bucket,
) -> PendingPage:
    seen = sequencer.read_pending(Tenant(counter.token, 1, buckets), counter, page, idempotency)
    assert isinstance(seen, PendingPage)
    return seen


def numbers(seen: PendingPage) -> list[int]:
    return [p.version.number for p in seen.pending]


# --- which keys are valid


FAR = "2999-01-01T00:00:00.000Z"
PAST = "2001-01-01T00:00:00.000Z"


def not_cached(sequencer: Sequencer, token: str, version: int = 1) -> ApplicationNotCached:
    not_ready = sequencer.read_pending(Tenant(token, version), Counter(token), ALL)
    assert isinstance(not_ready, ApplicationNotCached)
    return not_ready


def is_valid(sequencer: Sequencer, token: str, version: int) -> bool:
    """Whether the key may read. Checks that the key may write if, and only if, it may read."""
    draft = [message()]
    try:
        sequencer.read_pending(Tenant(token, version), Counter(token, 1), ALL)
    except UnauthenticatedError:
        with pytest.raises(UnauthenticatedError):
            sequencer.accept(Tenant(token, version), Counter(token, 1), draft)
        with pytest.raises(UnauthenticatedError):
            sequencer.edit(
                Tenant(token, version), Counter(token, 1), draft[0], EditPrecondition(0, 0, 0)
            )
        with pytest.raises(UnauthenticatedError):
            sequencer.read_unpersisted(Tenant(token, version), [1])
        return False
    sequencer.accept(Tenant(token, version), Counter(token, 1), draft)
    return True


def test_all_requests_for_an_application_that_is_not_cached_share_one_nonce(
    sequencer: Sequencer,
) -> None:
    token = secrets.token_hex(15)
    not_ready = sequencer.accept(Tenant(token, 1), Counter(token, 1), [message()])
    assert isinstance(not_ready, ApplicationNotCached)
    assert (
        sequencer.edit(Tenant(token, 1), Counter(token, 1), message(), EditPrecondition(0, 0, 0))
        == not_ready
    )
    assert not_cached(sequencer, token, 2) == not_ready
    assert sequencer.cache_application(application(token), not_ready.nonce)
    assert not sequencer.cache_application(application(token), not_ready.nonce)
    assert is_valid(sequencer, token, 1)


def test_another_version_of_the_key_is_refused(sequencer: Sequencer, token: str) -> None:
    assert is_valid(sequencer, token, 1)
    assert not is_valid(sequencer, token, 0)


def test_a_key_version_newer_than_the_cache_is_read_from_mysql_once(
    sequencer: Sequencer, token: str
) -> None:
    first = not_cached(sequencer, token, 2)
    assert not_cached(sequencer, token, 1) == first
    assert sequencer.cache_application(application(token), first.nonce)
    assert is_valid(sequencer, token, 1)
    assert not is_valid(sequencer, token, 2)
    second = not_cached(sequencer, token, 3)
    assert second != first
    assert sequencer.cache_application(application(token, 3), second.nonce)
    assert [is_valid(sequencer, token, n) for n in (1, 2, 3)] == [False, False, True]
    sequencer.invalidate_key_cache(token)
    cache_application(sequencer, application(token, 2))
    assert not_cached(sequencer, token, 3)


def test_only_the_newest_key_version_and_for_its_time_the_previous_one_are_valid(
    sequencer: Sequencer,
) -> None:
    for until, before in ((FAR, True), (PAST, False), (None, False)):
        token = secrets.token_hex(15)
        cache_application(sequencer, application(token, 3, until))
        assert [is_valid(sequencer, token, n) for n in (1, 2, 3)] == [False, before, True]


def test_the_version_before_ends_to_the_millisecond(clock: FakeClock) -> None:
    sequencer, token = InMemorySequencer(clock), secrets.token_hex(15)
    cache_application(sequencer, application(token, 2, rfc3339(clock.now_ms() + 2_000)))
    clock.wait(1.999)
    assert is_valid(sequencer, token, 1)
    clock.wait(0.001)
    assert not is_valid(sequencer, token, 1)
    assert is_valid(sequencer, token, 2)


def test_a_changed_key_is_read_again(sequencer: Sequencer, token: str) -> None:
    sequencer.invalidate_key_cache(token)
    cache_application(sequencer, application(token, 2))
    assert not is_valid(sequencer, token, 1)
    assert is_valid(sequencer, token, 2)


def lose(sequencer: Sequencer, token: str) -> None:
    """The cache expires, or Redis is wiped."""
    assert isinstance(sequencer, RedisSequencer)
    sequencer._pipeline([("UNLINK", application_key(token))])


def test_keys_read_before_a_change_are_not_cached(sequencer: Sequencer) -> None:
    old, new = (application(token := secrets.token_hex(15), version) for version in (1, 2))
    not_ready = not_cached(sequencer, token)
    sequencer.invalidate_key_cache(token)
    assert not sequencer.cache_application(old, not_ready.nonce)
    cache_application(sequencer, new)
    assert not sequencer.cache_application(old, not_ready.nonce)
    lose(sequencer, token)
    assert not sequencer.cache_application(old, not_ready.nonce)
    later = not_cached(sequencer, token)
    assert later != not_ready
    assert not sequencer.cache_application(old, not_ready.nonce)
    assert sequencer.cache_application(new, later.nonce)
    assert not is_valid(sequencer, token, 1)


def test_a_late_read_of_a_changed_key_is_not_cached(sequencer: Sequencer, token: str) -> None:
    for _ in range(2):
        sequencer.invalidate_key_cache(token)
        cache_application(sequencer, application(token, 3))
        assert is_valid(sequencer, token, 3)
        assert not is_valid(sequencer, token, 2)


def test_a_counter_copied_from_another_incarnation_issues_nothing(
    sequencer: Sequencer, token: str
) -> None:
    other = secrets.token_hex(15)
    not_ready = not_cached(sequencer, other)
    assert isinstance(sequencer, RedisSequencer)
    sequencer._fixed_holder = "the incarnation of a snapshot"
    assert not sequencer.cache_application(application(other), not_ready.nonce)
    assert not_cached(sequencer, other) != not_ready
    cache_application(sequencer, application(token, 2))
    assert not is_valid(sequencer, token, 1)


def test_a_blocked_application_is_refused_and_not_cached_again(
    sequencer: Sequencer, token: str
) -> None:
    unknown = secrets.token_hex(15)
    nonces = {unknown: not_cached(sequencer, unknown).nonce, token: "a nonce"}
    for gone, nonce in nonces.items():
        sequencer.block_application(gone)
        sequencer.invalidate_key_cache(gone)
        assert not sequencer.cache_application(application(gone), nonce)
        with pytest.raises(NotFoundError):
            sequencer.read_pending(Tenant(gone, 1), Counter(gone), ALL)


# --- leases


def test_without_a_lease_no_number_is_issued(sequencer: Sequencer, token: str) -> None:
    not_ready = sequencer.accept(Tenant(token, 1), Counter(token), [CHAT])
    assert isinstance(not_ready, LeaseMissing)
    assert numbers(read_pending(sequencer, Counter(token))) == []


def test_one_caller_acquires_the_lease_and_the_others_wait(
    sequencer: Sequencer, token: str
) -> None:
    not_ready = sequencer.accept(Tenant(token, 1), Counter(token), [CHAT])
    assert sequencer.accept(Tenant(token, 1), Counter(token), [CHAT]) == LeaseContended()
    assert isinstance(not_ready, LeaseMissing)
    sequencer.abandon_nonce(Counter(token), "another nonce")
    assert sequencer.accept(Tenant(token, 1), Counter(token), [CHAT]) == LeaseContended()
    sequencer.abandon_nonce(Counter(token), not_ready.nonce)
    assert isinstance(sequencer.accept(Tenant(token, 1), Counter(token), [CHAT]), LeaseMissing)


def acquire_after_another(sequencer: Sequencer, counter: Counter, clock: FakeClock) -> LeaseMissing:
    """Acquire as soon as nobody waits for the earlier attempt any more: after 5 s, by the server's clock."""
    until = time.monotonic() + 20
    while isinstance(
        not_ready := sequencer.accept(Tenant(counter.token, 1), counter, [CHAT]), LeaseContended
    ):
        assert time.monotonic() < until
        clock.wait(1)
        time.sleep(0.05)  # the pause between two checks
    assert isinstance(not_ready, LeaseMissing)
    return not_ready


def test_an_abandoned_nonce_is_passed_to_the_next_attempt(
    sequencer: Sequencer, token: str, clock: FakeClock
) -> None:
    counter = Counter(token)
    first = sequencer.accept(Tenant(counter.token, 1), counter, [CHAT])
    assert isinstance(first, LeaseMissing)
    assert first.abandoned_nonces == ()
    assert sequencer.is_acquiring(counter, first)
    second = acquire_after_another(sequencer, counter, clock)
    assert second.abandoned_nonces == (first.nonce,)
    assert not sequencer.is_acquiring(counter, first)
    sequencer.abandon_nonce(counter, second.nonce)  # MySQL granted it nothing
    third = sequencer.accept(Tenant(counter.token, 1), counter, [CHAT])
    assert isinstance(third, LeaseMissing)
    assert third.abandoned_nonces == (first.nonce,)
    assert not sequencer.install_lease(
        counter, first.nonce, LeaseGrant(0, Lease(first.holder, 1, 9))
    )
    assert sequencer.install_lease(counter, third.nonce, LeaseGrant(0, Lease(third.holder, 2, 9)))
    assert not sequencer.is_acquiring(counter, third)


# --- releasing the leases of idle counters


def idle_chat(sequencer: Sequencer, token: str) -> Counter:
    """A chat with two messages, both persisted."""
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    accepted = accept(sequencer, counter, [message("1"), message("2")])
    sequencer.acknowledge({counter: {1: accepted.revision, 2: accepted.revision + 1}})
    return counter


def test_many_counters_are_acknowledged_at_once_even_if_the_server_lost_the_script(
    sequencer: Sequencer, token: str
) -> None:
    acknowledged = {}
    for counter in (Counter(token, 2), Counter(token, 3), Counter(token)):
        acquire(sequencer, counter)
        versions = [CHAT] if counter.chat is None else [message()]
        acknowledged[counter] = {1: accept(sequencer, counter, versions).revision}
    if not isinstance(sequencer, InMemorySequencer):
        assert isinstance(sequencer, RedisSequencer)
        sequencer._scripts.client.script_flush()
    sequencer.acknowledge(acknowledged)
    assert [read_pending(sequencer, counter).pending for counter in acknowledged] == [(), (), ()]
    sequencer.acknowledge({})


def mark_releasing(sequencer: Sequencer, counter: Counter, idle_ms: int) -> LeaseReleasing | None:
    return sequencer.mark_releasing([counter], idle_ms).get(counter)


def test_a_counter_is_idle_when_nothing_of_it_is_pending(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    accepted = accept(sequencer, counter, [message("1"), message("2")])
    sequencer.acknowledge({counter: {1: accepted.revision}})
    assert mark_releasing(sequencer, counter, 0) is None
    sequencer.acknowledge({counter: {2: accepted.revision + 1}})
    assert sequencer.list_idle([token], 0, 10) == [counter]
    assert sequencer.list_idle([token], 60_000, 10) == []
    assert mark_releasing(sequencer, counter, 60_000) is None
    assert accept(sequencer, counter, [message()]).first == 3


def test_a_releasing_counter_issues_nothing_until_its_lease_is_released(
    sequencer: Sequencer, token: str
) -> None:
    counter = idle_chat(sequencer, token)
    closing = mark_releasing(sequencer, counter, 0)
    assert closing is not None
    assert (closing.epoch, closing.last) == (1, 2)
    for _ in range(2):
        assert sequencer.accept(Tenant(counter.token, 1), counter, [message()]) == closing
    sequencer.extend_lease(counter, Lease(closing.holder, 1, 5000))
    assert sequencer.accept(Tenant(counter.token, 1), counter, [message()]) == closing
    sequencer.forget_released({counter: replace(closing, epoch=2)})
    assert sequencer.accept(Tenant(counter.token, 1), counter, [message()]) == closing
    sequencer.forget_released({counter: closing})
    assert sequencer.list_idle([token], 0, 10) == []
    assert not read_pending(sequencer, counter).known
    acquire(sequencer, counter, floor=2, epoch=2)
    assert accept(sequencer, counter, [message()]).first == 3


def test_many_counters_are_released_at_once_and_one_that_is_pending_comes_last_from_now_on(
    sequencer: Sequencer, token: str, clock: FakeClock
) -> None:
    counters = [Counter(token, number) for number in range(1, 6)]
    for counter in counters:
        acquire(sequencer, counter)
        accepted = accept(sequencer, counter, [message()])
        sequencer.acknowledge({counter: {1: accepted.revision}})
    accept(sequencer, counters[0], [message()])
    clock.wait(0.001)
    assert sequencer.list_idle([token], 0, 1) == counters[:1]
    marked = sequencer.mark_releasing(counters, 0)
    assert [(counter, releasing.last) for counter, releasing in marked.items()] == [
        (counter, 1) for counter in counters[1:]
    ]
    assert sequencer.list_idle([token], 0, 1) == counters[1:2]
    sequencer.forget_released(marked)
    assert sequencer.list_idle([token], 0, 10) == counters[:1]


def test_a_late_release_does_not_remove_the_next_lease(sequencer: Sequencer, token: str) -> None:
    counter = idle_chat(sequencer, token)
    closing = mark_releasing(sequencer, counter, 0)
    assert closing is not None
    sequencer.forget_released({counter: closing})
    acquire(sequencer, counter, floor=2, epoch=2)
    sequencer.forget_released({counter: closing})
    assert accept(sequencer, counter, [message()]).first == 3


def test_the_counter_of_a_pending_chat_is_not_released(sequencer: Sequencer, token: str) -> None:
    acquire(sequencer, Counter(token))
    chat = accept(sequencer, Counter(token), [CHAT])
    counter = Counter(token, chat.first)
    accepted = accept(sequencer, counter, [message()])
    sequencer.acknowledge({counter: {1: accepted.revision}})
    assert mark_releasing(sequencer, counter, 0) is None
    sequencer.acknowledge({Counter(token): {chat.first: chat.revision}})
    assert mark_releasing(sequencer, counter, 0) is not None


def test_an_edit_made_from_a_pending_chat_does_not_restore_the_first_lease(
    sequencer: Sequencer, token: str
) -> None:
    chats = Counter(token)
    acquire(sequencer, chats)
    chat = accept(sequencer, chats, [CHAT])
    seen = read_pending(sequencer, chats)
    version = seen.pending[0].version
    assert isinstance(version, Chat)
    assert version.messages_lease is not None
    sequencer.acknowledge({chats: {1: chat.revision}})
    version = replace(version, title="new", metadata={"messages_lease": {"a": "b"}})
    edited = sequencer.edit(
        Tenant(chats.token, 1), chats, version, EditPrecondition(chat.revision, seen.edits, 0)
    )
    assert isinstance(edited, Accepted)
    assert read_pending(sequencer, chats).pending[0].version == replace(
        version, revision=edited.revision, messages_lease=None
    )


def test_an_edit_made_from_the_row_of_a_pending_chat_retains_the_first_lease(
    sequencer: Sequencer, token: str
) -> None:
    chats = Counter(token)
    acquire(sequencer, chats)
    chat = accept(sequencer, chats, [CHAT])
    seen = read_pending(sequencer, chats)
    version = replace(seen.pending[0].version, messages_lease=None)
    edited = sequencer.edit(
        Tenant(chats.token, 1),
        chats,
        replace(version, title="new"),
        EditPrecondition(chat.revision, seen.edits, 0),
    )
    assert isinstance(edited, Accepted)
    assert accept(sequencer, Counter(token, 1), [message()]).first == 1
    sequencer.acknowledge({chats: {1: edited.revision}})
    assert accept(sequencer, Counter(token, 1), [message()]).first == 2


def test_forgetting_an_application_leaves_no_keys(sequencer: Sequencer, token: str) -> None:
    idle_chat(sequencer, token)
    acquire(sequencer, Counter(token, 2))
    accept(sequencer, Counter(token, 2), [message()])
    delete(sequencer, Counter(token, 2), 1)
    acquire(sequencer, Counter(token))
    sequencer.forget_application(token)
    assert read_unpersisted(sequencer, token, 2) == [UnpersistedChat()]
    assert sequencer.list_idle([token], 0, 10) == []
    assert sequencer.list_overdue([token], 10) == []
    assert not read_pending(sequencer, Counter(token, 1)).known
    assert numbers(read_pending(sequencer, Counter(token, 2))) == []


def test_a_counter_that_has_issued_nothing_is_idle(sequencer: Sequencer, token: str) -> None:
    chats, counter = Counter(token), Counter(token, 1)
    acquire(sequencer, chats)
    chat = accept(sequencer, chats, [CHAT])
    too_many = [message()] * (chat.lease.ceiling + 1)
    assert isinstance(sequencer.accept(Tenant(counter.token, 1), counter, too_many), LeaseExhausted)
    assert sequencer.list_idle([token], 0, 10) == [chats, counter]
    sequencer.forget_application(token)
    assert not read_pending(sequencer, counter).known


def test_a_lease_is_installed_only_under_its_nonce_and_in_its_incarnation(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token)
    not_ready = sequencer.accept(Tenant(counter.token, 1), counter, [CHAT])
    assert isinstance(not_ready, LeaseMissing)
    good = LeaseGrant(0, Lease(not_ready.holder, 1, 1000))
    assert not sequencer.install_lease(counter, "a late caller", good)
    assert not sequencer.install_lease(
        counter, not_ready.nonce, LeaseGrant(0, Lease("another incarnation", 1, 1000))
    )
    assert sequencer.install_lease(counter, not_ready.nonce, good)
    assert not sequencer.install_lease(counter, not_ready.nonce, good)


def test_numbers_start_above_the_floor_and_are_consecutive(
    sequencer: Sequencer, token: str
) -> None:
    acquire(sequencer, Counter(token), floor=40)
    first = accept(sequencer, Counter(token), [CHAT])
    second = accept(sequencer, Counter(token), [CHAT])
    assert (first.first, second.first) == (41, 42)
    assert second.revision == first.revision + 1


def test_a_batch_gets_consecutive_numbers_or_none(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token, 7)
    acquire(sequencer, counter, window=10)
    assert accept(sequencer, counter, [message(str(i)) for i in range(8)]).last == 8
    not_ready = sequencer.accept(
        Tenant(counter.token, 1), counter, [message(str(i)) for i in range(3)]
    )
    assert isinstance(not_ready, LeaseExhausted)
    assert not_ready.lease.ceiling == 10
    assert accept(sequencer, counter, [message()]).first == 9


def test_a_lease_extended_at_its_ceiling_skips_no_number(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token)
    acquire(sequencer, counter, window=1)
    accept(sequencer, counter, [CHAT])
    not_ready = sequencer.accept(Tenant(counter.token, 1), counter, [CHAT])
    assert isinstance(not_ready, LeaseExhausted)
    sequencer.extend_lease(counter, replace(not_ready.lease, epoch=9, ceiling=5))
    sequencer.extend_lease(counter, replace(not_ready.lease, holder="another", ceiling=5))
    assert isinstance(sequencer.accept(Tenant(counter.token, 1), counter, [CHAT]), LeaseExhausted)
    sequencer.extend_lease(counter, replace(not_ready.lease, ceiling=5))
    sequencer.extend_lease(counter, replace(not_ready.lease, ceiling=3))
    assert [accept(sequencer, counter, [CHAT]).first for _ in range(4)] == [2, 3, 4, 5]


def test_a_counter_whose_lease_was_discarded_acquires_another(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token)
    acquire(sequencer, counter, window=1)
    lease = accept(sequencer, counter, [CHAT]).lease
    sequencer.discard_lease(counter, replace(lease, epoch=7))
    assert isinstance(sequencer.accept(Tenant(counter.token, 1), counter, [CHAT]), LeaseExhausted)
    sequencer.discard_lease(counter, lease)
    acquire(sequencer, counter, floor=100, epoch=2)
    assert accept(sequencer, counter, [CHAT]).first == 101


def test_a_newer_epoch_has_higher_revisions(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token)
    acquire(sequencer, counter)
    before = accept(sequencer, counter, [CHAT])
    sequencer.discard_lease(counter, before.lease)
    acquire(sequencer, counter, floor=1000, epoch=30_000)
    after = accept(sequencer, counter, [CHAT])
    assert after.revision == 30_000 * 2**32 + 1 > before.revision


def test_a_chat_takes_messages_before_it_is_persisted(sequencer: Sequencer, token: str) -> None:
    acquire(sequencer, Counter(token))
    chat = accept(sequencer, Counter(token), [CHAT])
    accepted = accept(sequencer, Counter(token, chat.first), [message()])
    assert (accepted.first, accepted.lease) == (1, Lease(chat.lease.holder, 1, 1000))


def test_an_acknowledged_chat_retains_the_first_lease_of_its_messages(
    sequencer: Sequencer, token: str
) -> None:
    acquire(sequencer, Counter(token))
    chat = accept(sequencer, Counter(token), [CHAT])
    sequencer.acknowledge({Counter(token): {chat.first: chat.revision}})
    assert accept(sequencer, Counter(token, chat.first), [message()]).first == 1


def test_a_request_to_an_unknown_chat_gets_the_last_chat_number(
    sequencer: Sequencer, token: str
) -> None:
    not_ready = sequencer.accept(Tenant(token, 1), Counter(token, 5), [message()])
    assert isinstance(not_ready, LeaseMissing)
    assert not_ready.chats is None
    acquire(sequencer, Counter(token))
    accept(sequencer, Counter(token), [CHAT])
    other = sequencer.accept(Tenant(token, 1), Counter(token, 6), [message()])
    assert isinstance(other, LeaseMissing)
    assert other.chats == IssuedUpTo(other.holder, 1, 1)


def test_a_retry_gets_the_first_response_and_its_pending_versions(
    sequencer: Sequencer, token: str
) -> None:
    acquire(sequencer, Counter(token, 1))
    idempotency = IdempotencyKey("a key", "fingerprint")
    first = accept(sequencer, Counter(token, 1), [message("1"), message("2")], idempotency)
    again = accept(sequencer, Counter(token, 1), [message("1"), message("2")], idempotency)
    assert again.replayed
    assert (again.first, again.last, again.revision) == (first.first, first.last, first.revision)
    assert (again.created_at, again.lease) == (NOW, first.lease)
    assert [p.version for p in again.pending] == [
        replace(message("1"), number=1, revision=first.revision),
        replace(message("2"), number=2, revision=first.revision + 1),
    ]
    sequencer.acknowledge({Counter(token, 1): {1: first.revision}})
    assert (
        len(accept(sequencer, Counter(token, 1), [message("1"), message("2")], idempotency).pending)
        == 1
    )


def test_a_key_used_for_another_request_is_refused(sequencer: Sequencer, token: str) -> None:
    acquire(sequencer, Counter(token, 1))
    accept(sequencer, Counter(token, 1), [message()], IdempotencyKey("a key", "fingerprint"))
    with pytest.raises(KeyReusedError):
        sequencer.accept(
            Tenant(token, 1), Counter(token, 1), [message()], IdempotencyKey("a key", "other")
        )


def test_a_retry_of_an_edit_gets_the_first_response_at_the_read_and_at_the_edit(
    sequencer: Sequencer, token: str
) -> None:
    counter, idempotency = Counter(token, 1), IdempotencyKey("a key", "fingerprint")
    acquire(sequencer, counter)
    accept(sequencer, counter, [message()])
    seen = sequencer.read_pending(Tenant(counter.token, 1), counter, ALL, idempotency)
    assert isinstance(seen, PendingPage)
    assert seen.replayed is None
    version = replace(seen.pending[0].version, body="new")
    edited = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        version,
        EditPrecondition(version.revision, seen.edits, 0),
        idempotency,
        b'{"a": 1}',
    )
    assert isinstance(edited, Accepted)
    again = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        version,
        EditPrecondition(version.revision, seen.edits, 0),
        idempotency,
        b"another",
    )
    assert isinstance(again, Accepted)
    assert again == replace(
        edited, replayed=True, stored_response=b'{"a": 1}', pending=again.pending
    )
    assert [p.version for p in again.pending] == [replace(version, revision=edited.revision)]
    assert read_pending(sequencer, counter, ALL, idempotency).replayed == again
    assert len(read_pending(sequencer, counter).pending) == 1
    sequencer.acknowledge({counter: {1: edited.revision}})
    assert read_pending(sequencer, counter, ALL, idempotency).replayed == replace(again, pending=())


def test_a_retry_of_a_deletion_is_replayed_although_the_chat_is_gone(
    sequencer: Sequencer, token: str
) -> None:
    chats, messages = Counter(token), Counter(token, 1)
    acquire(sequencer, chats)
    accept(sequencer, chats, [CHAT])
    accept(sequencer, messages, [message()])
    of_chat, of_message = IdempotencyKey("chat", "f"), IdempotencyKey("message", "f")
    for counter, idempotency in ((messages, of_message), (chats, of_chat)):
        seen = read_pending(sequencer, counter)
        version = replace(seen.pending[0].version, deleted_at=NOW)
        deleted = sequencer.edit(
            Tenant(counter.token, 1),
            counter,
            version,
            EditPrecondition(version.revision, seen.edits, 0),
            idempotency,
            b"",
        )
        assert isinstance(deleted, Accepted)
    for counter, idempotency in ((messages, of_message), (chats, of_chat)):
        replayed = read_pending(sequencer, counter, ALL, idempotency).replayed
        assert replayed is not None
        assert replayed.first == 1
    with pytest.raises(GoneError):
        sequencer.read_pending(Tenant(messages.token, 1), messages, ALL)


def test_a_key_of_another_request_is_refused_by_reads_and_edits(
    sequencer: Sequencer, token: str
) -> None:
    counter, other = Counter(token, 1), IdempotencyKey("a key", "other")
    acquire(sequencer, counter)
    accept(sequencer, counter, [message()], IdempotencyKey("a key", "fingerprint"))
    seen = read_pending(sequencer, counter)
    version = seen.pending[0].version
    with pytest.raises(KeyReusedError):
        sequencer.read_pending(Tenant(counter.token, 1), counter, ALL, other)
    with pytest.raises(KeyReusedError):
        sequencer.edit(
            Tenant(counter.token, 1),
            counter,
            version,
            EditPrecondition(version.revision, seen.edits, 0),
            other,
            b"",
        )


# --- rate limits


def of_application(rate: float = 0.01, size: int = 5) -> Bucket:
    """A bucket that fills so slowly that a test does not notice."""
    return Bucket(rate, size)


def limited(counter: Counter, *buckets: Bucket) -> Tenant:
    return Tenant(counter.token, 1, buckets or (of_application(),))


def left(remaining: tuple[Remaining, ...]) -> list[tuple[str, int]]:
    return [(each.bucket.name, each.left) for each in remaining]


def another_process(sequencer: Sequencer) -> Sequencer:
    """Another sequencer on the same server."""
    assert isinstance(sequencer, RedisSequencer)
    other = copy(sequencer)
    other._charges = Charges()
    return other


def test_a_request_takes_one_and_a_batch_one_for_each_message(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    for drafts, still in (([message()], 4), ([message()] * 3, 1)):
        accepted = sequencer.accept(limited(counter), counter, drafts)
        assert isinstance(accepted, Accepted)
        assert left(accepted.remaining) == [("application", still)]
    seen = read_pending(sequencer, counter, ALL, None, of_application())
    assert left(seen.remaining) == [("application", 0)]
    unpersisted = sequencer.read_unpersisted(limited(counter, of_application(size=9)), [1, 2])
    assert isinstance(unpersisted, UnpersistedChats)
    assert left(unpersisted.remaining) == [("application", 3)]


def test_an_empty_bucket_refuses_and_nothing_is_taken(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    sequencer.accept(limited(counter), counter, [message()] * 3)
    with pytest.raises(RateLimitedError) as error:
        sequencer.accept(limited(counter), counter, [message()] * 3)
    assert (error.value.limit, error.value.retry_after_seconds) == ("application", 100)
    assert left(error.value.remaining) == [("application", 2)]
    assert 200_000 < error.value.remaining[0].full_in_ms <= 300_000
    sequencer.accept(limited(counter), counter, [message()] * 2)
    with pytest.raises(RateLimitedError):
        sequencer.read_pending(limited(counter), counter, ALL)
    with pytest.raises(RateLimitedError):
        sequencer.read_unpersisted(limited(counter), [1, 2])
    assert accept(sequencer, counter, [message()]).first == 6


def test_a_bucket_fills_with_time_and_holds_no_more_than_its_size(
    sequencer: Sequencer, token: str, clock: FakeClock
) -> None:
    counter, quick = Counter(token, 1), of_application(rate=20, size=4)
    acquire(sequencer, counter)
    for _ in range(2):
        until = time.monotonic() + 20
        while True:
            try:
                accepted = sequencer.accept(limited(counter, quick), counter, [message()] * 4)
            except RateLimitedError:
                assert time.monotonic() < until
                clock.wait(0.1)
                time.sleep(0.05)  # the pause between two attempts
            else:
                break
        assert isinstance(accepted, Accepted)
        assert left(accepted.remaining) == [("application", 0)]
        clock.wait(10)


def test_an_application_that_is_refused_delays_no_other(sequencer: Sequencer, token: str) -> None:
    counter, other = Counter(token), Counter(secrets.token_hex(15))
    cache_application(sequencer, application(other.token))
    first_chat = of_application(size=1)
    sequencer.read_pending(limited(counter, first_chat), counter, ALL)
    with pytest.raises(RateLimitedError):
        sequencer.read_pending(limited(counter, first_chat), counter, ALL)
    seen = read_pending(sequencer, other, ALL, None, first_chat)
    assert left(seen.remaining) == [("application", 0)]


def test_a_user_takes_from_both_buckets_or_from_none(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token)

    def read_as(user: str | None) -> list[tuple[str, int]]:
        of_user = () if user is None else (Bucket(0.01, 2, user),)
        try:
            seen = read_pending(sequencer, counter, ALL, None, of_application(), *of_user)
        except RateLimitedError as error:
            refused.append(error.limit)
            return left(error.remaining)
        return left(seen.remaining)

    refused: list[str] = []
    assert read_as("ann") == [("application", 4), ("user", 1)]
    assert read_as("ann") == [("application", 3), ("user", 0)]
    assert read_as("ann") == [("application", 3), ("user", 0)]
    assert read_as("bob") == [("application", 2), ("user", 1)]
    assert [read_as(None), read_as(None)] == [[("application", 1)], [("application", 0)]]
    assert read_as("bob") == [("application", 0), ("user", 1)]
    assert refused == ["user", "application"]


def test_a_request_takes_before_it_is_known_whether_it_can_be_served(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    missing = sequencer.accept(limited(counter), counter, [message()])
    contended = sequencer.accept(limited(counter), counter, [message()])
    assert isinstance(missing, LeaseMissing)
    assert isinstance(contended, LeaseContended)
    assert [left(reply.remaining) for reply in (missing, contended)] == [
        [("application", 4)],
        [("application", 3)],
    ]
    assert sequencer.install_lease(
        counter, missing.nonce, LeaseGrant(0, Lease(missing.holder, 1, 2))
    )
    exhausted = sequencer.accept(limited(counter), counter, [message()] * 3)
    assert isinstance(exhausted, LeaseExhausted)
    assert left(exhausted.remaining) == [("application", 0)]
    with pytest.raises(RateLimitedError):
        sequencer.accept(limited(counter), counter, [message()])


def test_a_large_message_takes_one_for_each_4096_bytes(sequencer: Sequencer, token: str) -> None:
    counter, bucket = Counter(token, 1), of_application(size=20)
    acquire(sequencer, counter)
    small, large = message("x" * 3_000), message("x" * 9_000)
    accepted = sequencer.accept(limited(counter, bucket), counter, [small, large, large])
    assert isinstance(accepted, Accepted)
    assert left(accepted.remaining) == [("application", 13)]


def test_an_edit_takes_what_its_version_costs_beyond_the_one_of_its_read(
    sequencer: Sequencer, token: str
) -> None:
    counter, bucket = Counter(token, 1), of_application(size=99)
    acquire(sequencer, counter)
    accept(sequencer, counter, [message()])
    still = []
    for body in ("small", "x" * 20_000):
        seen = read_pending(sequencer, counter, ALL, None, bucket)
        version = seen.pending[0].version
        edited = sequencer.edit(
            limited(counter, bucket),
            counter,
            replace(version, body=body),
            EditPrecondition(version.revision, seen.edits, 0),
        )
        assert isinstance(edited, Accepted)
        still += [*left(seen.remaining), *left(edited.remaining)]
    assert [n for _, n in still] == [98, 98, 97, 93]
    with pytest.raises(ConflictError) as conflict:
        sequencer.edit(
            limited(counter, bucket),
            counter,
            replace(version, body="x" * 20_000),
            EditPrecondition(version.revision, seen.edits, 0),
        )
    assert left(conflict.value.remaining) == [("application", 89)]


def test_a_request_larger_than_its_bucket_takes_a_full_bucket(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    accepted = sequencer.accept(limited(counter), counter, [message("x" * 4_096)] * 5)
    assert isinstance(accepted, Accepted)
    assert left(accepted.remaining) == [("application", 0)]


def test_reads_are_written_when_they_have_used_a_hundredth_of_the_bucket(
    sequencer: Sequencer, token: str
) -> None:
    counter, bucket = Counter(token), of_application(size=400)
    of_other_process = another_process(sequencer)

    def read(process: Sequencer, cost: int = 1) -> int:
        seen = process.read_pending(limited(counter, bucket), counter, ALL, None, cost)
        assert isinstance(seen, PendingPage)
        return seen.remaining[0].left

    assert [read(sequencer) for _ in range(3)] == [399, 398, 397]
    assert read(of_other_process) == 399
    assert read(sequencer) == 396
    assert read(of_other_process) == 394
    assert read(sequencer, cost=5) == 391
    assert read(of_other_process, cost=0) == 389


def test_a_write_brings_the_reads_before_it_along(sequencer: Sequencer, token: str) -> None:
    counter, bucket = Counter(token, 1), of_application(size=400)
    acquire(sequencer, counter)
    for _ in range(3):
        read_pending(sequencer, counter, ALL, None, bucket)
    accepted = sequencer.accept(limited(counter, bucket), counter, [message()])
    assert isinstance(accepted, Accepted)
    assert left(accepted.remaining) == [("application", 396)]
    seen = another_process(sequencer).read_pending(limited(counter, bucket), counter, ALL)
    assert isinstance(seen, PendingPage)
    assert left(seen.remaining) == [("application", 395)]


def test_reads_that_are_not_written_yet_count_against_the_bucket(
    sequencer: Sequencer, token: str
) -> None:
    counter, bucket = Counter(token), of_application(size=300)
    other = another_process(sequencer)
    for _ in range(2):
        read_pending(sequencer, counter, ALL, None, bucket)
    other.read_pending(limited(counter, bucket), counter, ALL, None, 298)
    with pytest.raises(RateLimitedError) as error:
        sequencer.read_pending(limited(counter, bucket), counter, ALL)
    assert left(error.value.remaining) == [("application", 0)]


def test_a_tenant_without_buckets_takes_nothing(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    free = limited(counter).without_rate_limit()
    assert read_pending(sequencer, counter, ALL, None, of_application()).remaining
    for _ in range(3):
        accepted = sequencer.accept(free, counter, [message()])
        assert isinstance(accepted, Accepted)
        assert accepted.remaining == ()
    seen = read_pending(sequencer, counter, ALL, None, of_application())
    assert left(seen.remaining) == [("application", 3)]


def test_a_replay_takes_as_much_as_its_request(sequencer: Sequencer, token: str) -> None:
    counter, idempotency = Counter(token, 1), IdempotencyKey("a key", "fingerprint")
    acquire(sequencer, counter)
    for still in (3, 1):
        accepted = sequencer.accept(limited(counter), counter, [message()] * 2, idempotency)
        assert isinstance(accepted, Accepted)
        assert left(accepted.remaining) == [("application", still)]
    with pytest.raises(RateLimitedError):
        sequencer.accept(limited(counter), counter, [message()] * 2, idempotency)


def test_a_refused_request_takes_as_much_as_one_that_is_served(
    small: Sequencer, clock: FakeClock
) -> None:
    token = secrets.token_hex(15)
    cache_application(small, application(token))
    full, gone, absent = (Counter(token, number) for number in (1, 2, 3))
    acquire(small, full)
    accept(small, full, [message()] * 3)
    small.block_chats(token, [2])
    missing = small.accept(Tenant(token, 1), absent, [message()])
    assert isinstance(missing, LeaseMissing)
    small.abandon_nonce(absent, missing.nonce, True)
    still = []
    for counter, error in (
        (full, BackpressureError),
        (gone, GoneError),
        (absent, NotFoundError),
    ):
        with pytest.raises(error) as refused:
            small.accept(limited(counter), counter, [message()])
        still += left(refused.value.remaining)
    with pytest.raises(GoneError) as read:
        small.read_pending(limited(gone), gone, ALL)
    still += left(read.value.remaining)
    assert [n for _, n in still] == [4, 3, 2, 1]


# --- chats that do not exist, and requests that wait


def test_a_chat_that_mysql_does_not_have_is_not_found_for_a_moment(
    sequencer: Sequencer, token: str, clock: FakeClock
) -> None:
    chats, absent = Counter(token), Counter(token, 1)
    acquire(sequencer, chats)
    missing = sequencer.accept(Tenant(token, 1), absent, [message()])
    assert isinstance(missing, LeaseMissing)
    sequencer.abandon_nonce(absent, missing.nonce, True)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            sequencer.accept(Tenant(token, 1), absent, [message()])
    with pytest.raises(NotFoundError):
        sequencer.edit(Tenant(token, 1), absent, message(), EditPrecondition(1, 0, 0))
    assert not sequencer.is_acquiring(absent, missing)
    assert accept(sequencer, chats, [CHAT]).first == 1
    assert accept(sequencer, absent, [message()]).first == 1


def test_a_chat_that_is_created_during_the_query_is_not_taken_for_absent(
    sequencer: Sequencer, token: str
) -> None:
    chats, early = Counter(token), Counter(token, 1)
    acquire(sequencer, chats)
    missing = sequencer.accept(Tenant(token, 1), early, [message()])
    assert isinstance(missing, LeaseMissing)
    chat = accept(sequencer, chats, [CHAT])
    sequencer.abandon_nonce(early, missing.nonce, True)
    sequencer.acknowledge({chats: {1: chat.revision}})
    released = sequencer.mark_releasing([early], 0)
    sequencer.forget_released(released)
    assert isinstance(sequencer.accept(Tenant(token, 1), early, [message()]), LeaseMissing)


def test_a_chat_whose_counter_was_released_is_not_taken_for_absent(
    sequencer: Sequencer, token: str
) -> None:
    chats = Counter(token)
    acquire(sequencer, chats)
    for early, is_late in ((Counter(token, 1), False), (Counter(token, 2), True)):
        missing = sequencer.accept(Tenant(token, 1), early, [message()])
        assert isinstance(missing, LeaseMissing)
        if not is_late:
            sequencer.abandon_nonce(early, missing.nonce, True)
        chat = accept(sequencer, chats, [CHAT])
        sequencer.acknowledge({chats: {chat.first: chat.revision}})
        sequencer.forget_released(sequencer.mark_releasing([early], 0))
        sequencer.abandon_nonce(early, missing.nonce, True)
        assert not sequencer.is_acquiring(early, missing)
        again = sequencer.accept(Tenant(token, 1), early, [message()])
        assert isinstance(again, LeaseMissing)
        assert again.abandoned_nonces == ((missing.nonce,) if is_late else ())


def test_after_a_moment_mysql_is_queried_for_a_chat_again(clock: FakeClock) -> None:
    sequencer, token = InMemorySequencer(clock), secrets.token_hex(15)
    cache_application(sequencer, application(token))
    absent = Counter(token, 1)
    first = sequencer.accept(Tenant(token, 1), absent, [message()])
    assert isinstance(first, LeaseMissing)
    clock.wait(6)
    second = sequencer.accept(Tenant(token, 1), absent, [message()])
    assert isinstance(second, LeaseMissing)
    sequencer.abandon_nonce(absent, second.nonce, True)
    clock.wait(2.999)
    with pytest.raises(NotFoundError):
        sequencer.accept(Tenant(token, 1), absent, [message()])
    clock.wait(0.001)
    third = sequencer.accept(Tenant(token, 1), absent, [message()])
    assert isinstance(third, LeaseMissing)
    assert third.abandoned_nonces == (first.nonce,)


def test_only_so_many_requests_wait_for_one_lease(sequencer: Sequencer, token: str) -> None:
    counter, bucket = Counter(token, 1), of_application(size=1000)
    missing = sequencer.accept(limited(counter, bucket), counter, [message()])
    assert isinstance(missing, LeaseMissing)
    waiting = limited(counter, bucket).without_rate_limit()
    for _ in range(32):
        first = sequencer.accept(limited(counter, bucket), counter, [message()])
        assert isinstance(first, LeaseContended)
        assert isinstance(sequencer.accept(waiting, counter, [message()]), LeaseContended)
    with pytest.raises(UnavailableError) as error:
        sequencer.accept(limited(counter, bucket), counter, [message()])
    assert error.value.retry_after_seconds == 1
    assert left(error.value.remaining) == [("application", 966)]
    assert isinstance(sequencer.accept(waiting, counter, [message()]), LeaseContended)
    assert sequencer.install_lease(
        counter, missing.nonce, LeaseGrant(0, Lease(missing.holder, 1, 9))
    )
    assert accept(sequencer, counter, [message()]).first == 1


@pytest.mark.parametrize("ascending", [False, True])
def test_a_page_of_large_pending_versions_ends_at_a_number_of_bytes(
    sequencer: Sequencer, token: str, ascending: bool
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    for _ in range(5):
        accept(sequencer, counter, [message(20_000 * "\U0001f98a")] * 5)
    page = PageRequest(limit=100, after=0 if ascending else None)
    pending_page = read_pending(sequencer, counter, page)
    in_order = [*range(1, 26)] if ascending else [*range(25, 0, -1)]
    assert (numbers(pending_page), pending_page.truncated) == (in_order[:12], True)
    last = in_order[11]
    behind = PageRequest(100, after=last) if ascending else PageRequest(100, before=last)
    assert numbers(read_pending(sequencer, counter, behind)) == in_order[12:24]
    nearly_all = PageRequest(100, after=23) if ascending else PageRequest(100, before=3)
    rest = read_pending(sequencer, counter, nearly_all)
    assert (numbers(rest), rest.truncated) == (in_order[23:], False)


def test_pending_versions_are_read_by_number_and_page(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    accept(sequencer, counter, [message(str(i)) for i in range(1, 13)])
    assert numbers(read_pending(sequencer, counter, PageRequest(limit=3))) == [12, 11, 10]
    assert read_pending(sequencer, counter, PageRequest(limit=3)).truncated
    assert numbers(read_pending(sequencer, counter, PageRequest(limit=3, before=3))) == [2, 1]
    assert not read_pending(sequencer, counter, PageRequest(limit=3, before=3)).truncated
    assert numbers(read_pending(sequencer, counter, PageRequest(limit=3, after=8))) == [9, 10, 11]
    assert numbers(read_pending(sequencer, counter, PageRequest(limit=9, after=8, before=11))) == [
        9,
        10,
    ]


def test_a_version_is_read_exactly_as_it_was_accepted(sequencer: Sequencer, token: str) -> None:
    acquire(sequencer, Counter(token, 1))
    body = 'pipes | and "quotes" and \\ and \x00 and 😀 and \u202e }'
    draft = replace(message(body), metadata={"a|b": [1, None, 2.5, {"x": "}"}]})
    accepted = accept(sequencer, Counter(token, 1), [draft])
    pending = read_pending(sequencer, Counter(token, 1)).pending[0]
    assert pending.version == replace(draft, number=1, revision=accepted.revision)
    assert pending.lease == accepted.lease


def test_an_edit_replaces_the_pending_version_with_a_newer_revision(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    accept(sequencer, counter, [message()])
    seen = read_pending(sequencer, counter)
    version = seen.pending[0].version
    edited = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(version, body="new"),
        EditPrecondition(version.revision, seen.edits, 0),
    )
    assert isinstance(edited, Accepted)
    assert edited.revision > version.revision
    now = read_pending(sequencer, counter).pending
    assert [p.version for p in now] == [replace(version, body="new", revision=edited.revision)]
    with pytest.raises(ConflictError):
        sequencer.edit(
            Tenant(counter.token, 1),
            counter,
            replace(version, body="late"),
            EditPrecondition(version.revision, seen.edits, 0),
        )


def stored_messages(sequencer: Sequencer, counter: Counter, count: int) -> list[Message]:
    """Messages that were accepted and are persisted."""
    first = accept(sequencer, counter, [message()] * count)
    revisions = {n: first.revision + n - 1 for n in range(1, count + 1)}
    sequencer.acknowledge({counter: revisions})
    return [replace(message(), number=n, revision=revision) for n, revision in revisions.items()]


def edit(sequencer: Sequencer, counter: Counter, stored: Message, seen: PendingPage) -> Accepted:
    """An edit of a stored version, made after `seen` was read. It is persisted at once."""
    done = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(stored, body="edited"),
        EditPrecondition(stored.revision, seen.edits, 0),
    )
    assert isinstance(done, Accepted)
    sequencer.acknowledge({counter: {stored.number: done.revision}})
    return done


def test_an_edit_of_a_stored_version_conflicts_after_another_edit_of_it(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    stored, *_ = stored_messages(sequencer, counter, 2)
    seen = read_pending(sequencer, counter)
    done = edit(sequencer, counter, stored, seen)
    with pytest.raises(ConflictError):
        edit(sequencer, counter, stored, seen)
    edited = replace(stored, revision=done.revision)
    edit(sequencer, counter, edited, read_pending(sequencer, counter))


def test_edits_of_different_stored_versions_do_not_conflict(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    first, second, third = stored_messages(sequencer, counter, 3)
    before_all = read_pending(sequencer, counter)
    edit(sequencer, counter, first, before_all)
    between = read_pending(sequencer, counter)
    edit(sequencer, counter, second, before_all)
    edit(sequencer, counter, third, between)
    with pytest.raises(ConflictError):
        edit(sequencer, counter, second, between)


def test_an_edit_conflicts_if_too_many_others_came_in_between(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter, window=2000)
    *others, early, late = stored_messages(sequencer, counter, 1002)
    before_all = read_pending(sequencer, counter)
    for stored in others[:-1]:
        edit(sequencer, counter, stored, before_all)
    edit(sequencer, counter, early, before_all)
    edit(sequencer, counter, others[-1], before_all)
    with pytest.raises(ConflictError):
        edit(sequencer, counter, late, before_all)
    edit(sequencer, counter, late, read_pending(sequencer, counter))


def test_an_edit_after_a_pause_conflicts_if_the_list_of_edits_has_expired(clock: FakeClock) -> None:
    sequencer, counter = InMemorySequencer(clock), Counter("a" * 30, 1)
    cache_application(sequencer, application(counter.token))
    acquire(sequencer, counter)
    first, second, third = stored_messages(sequencer, counter, 3)
    before_all = read_pending(sequencer, counter)
    edit(sequencer, counter, first, before_all)
    after = read_pending(sequencer, counter)
    clock.wait(61)
    with pytest.raises(ConflictError):
        edit(sequencer, counter, second, before_all)
    edit(sequencer, counter, second, after)
    with pytest.raises(ConflictError):
        edit(sequencer, counter, third, before_all)


def test_an_edit_conflicts_after_an_edit_that_a_function_of_an_earlier_release_accepted(
    clock: FakeClock,
) -> None:
    """That release counts edits and lists none, and its functions run during an upgrade."""
    sequencer, counter = InMemorySequencer(clock), Counter("a" * 30, 1)
    cache_application(sequencer, application(counter.token))
    acquire(sequencer, counter)
    first, second = stored_messages(sequencer, counter, 2)
    edit(sequencer, counter, first, read_pending(sequencer, counter))
    seen = read_pending(sequencer, counter)
    sequencer.server.execute("HINCRBY", counter_key(counter), "edits", 1)
    with pytest.raises(ConflictError):
        edit(sequencer, counter, second, seen)
    edit(sequencer, counter, second, read_pending(sequencer, counter))


def test_a_page_has_the_last_number_that_this_incarnation_issued(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    assert read_pending(sequencer, counter).last is None
    acquire(sequencer, counter, floor=1000, epoch=2)
    assert read_pending(sequencer, counter).last == 1000
    accepted = accept(sequencer, counter, [message()] * 3)
    assert read_pending(sequencer, counter).last == 1003
    sequencer.discard_lease(counter, accepted.lease)
    assert read_pending(sequencer, counter).last is None


def test_an_edit_from_a_page_read_before_a_new_lease_conflicts(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    first = accept(sequencer, counter, [message()])
    seen = read_pending(sequencer, counter)
    sequencer.acknowledge({counter: {1: first.revision}})
    sequencer.discard_lease(counter, first.lease)
    acquire(sequencer, counter, floor=1000, epoch=2)
    stored = replace(message(), number=1, revision=first.revision)
    with pytest.raises(ConflictError):
        sequencer.edit(
            Tenant(counter.token, 1),
            counter,
            stored,
            EditPrecondition(stored.revision, seen.edits, 0),
        )


def test_an_edit_under_an_older_lease_is_refused_until_mysql_extends_it(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    lease = accept(sequencer, counter, [message()]).lease
    seen = read_pending(sequencer, counter)
    version = seen.pending[0].version
    newer = EditPrecondition(version.revision, seen.edits, lease.epoch + 1)
    assert sequencer.edit(Tenant(counter.token, 1), counter, version, newer) == LeaseExhausted(
        lease
    )
    same = EditPrecondition(version.revision, seen.edits, lease.epoch)
    assert isinstance(sequencer.edit(Tenant(counter.token, 1), counter, version, same), Accepted)


def test_acknowledging_leaves_a_newer_edit_pending(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    first = accept(sequencer, counter, [message()])
    version = read_pending(sequencer, counter).pending[0].version
    edited = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(version, body="new"),
        EditPrecondition(version.revision, 0, 0),
    )
    assert isinstance(edited, Accepted)
    sequencer.acknowledge({counter: {1: first.revision}})
    assert numbers(read_pending(sequencer, counter)) == [1]
    sequencer.acknowledge({counter: {1: edited.revision}})
    assert numbers(read_pending(sequencer, counter)) == []


def test_a_deleted_chat_refuses_writes(sequencer: Sequencer, token: str) -> None:
    chats, messages = Counter(token), Counter(token, 1)
    acquire(sequencer, chats)
    accept(sequencer, chats, [CHAT])
    accept(sequencer, messages, [message()])
    version = read_pending(sequencer, chats).pending[0].version
    deleted = sequencer.edit(
        Tenant(chats.token, 1),
        chats,
        replace(version, deleted_at=NOW),
        EditPrecondition(version.revision, 0, 0),
    )
    assert isinstance(deleted, Accepted)
    for _ in range(2):
        with pytest.raises(GoneError):
            sequencer.accept(Tenant(messages.token, 1), messages, [message()])
        with pytest.raises(GoneError):
            sequencer.read_pending(Tenant(messages.token, 1), messages, ALL)
        sequencer.acknowledge({chats: {1: deleted.revision}})


def test_a_lease_acquired_before_the_deletion_opens_nothing(
    sequencer: Sequencer, token: str
) -> None:
    chats, messages = Counter(token), Counter(token, 9)
    acquire(sequencer, chats)
    not_ready = sequencer.accept(Tenant(messages.token, 1), messages, [message()])
    assert isinstance(not_ready, LeaseMissing)
    stored = replace(CHAT, number=9, revision=5, deleted_at=NOW)
    assert isinstance(
        sequencer.edit(
            Tenant(chats.token, 1),
            chats,
            stored,
            EditPrecondition(5, read_pending(sequencer, chats).edits, 0),
        ),
        Accepted,
    )
    sequencer.install_lease(
        messages, not_ready.nonce, LeaseGrant(0, Lease(not_ready.holder, 2, 1000))
    )
    with pytest.raises(GoneError):
        sequencer.accept(Tenant(messages.token, 1), messages, [message()])


# --- what MySQL does not have yet


def read_unpersisted(sequencer: Sequencer, token: str, *chats: int) -> list[UnpersistedChat]:
    unpersisted = sequencer.read_unpersisted(Tenant(token, 1), chats)
    assert isinstance(unpersisted, UnpersistedChats)
    assert list(unpersisted.chats) == list(chats)
    return list(unpersisted.chats.values())


def delete(sequencer: Sequencer, counter: Counter, number: int) -> int:
    """Delete a message. Returns its revision."""
    seen = read_pending(
        sequencer, counter, PageRequest(limit=1, after=number - 1, before=number + 1)
    )
    stored = replace(message(), number=number, revision=1)
    version = seen.pending[0].version if seen.pending else stored
    deleted = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(version, deleted_at=NOW),
        EditPrecondition(version.revision, seen.edits, 0),
    )
    assert isinstance(deleted, Accepted)
    return deleted.revision


def test_each_chat_has_its_highest_pending_number(sequencer: Sequencer, token: str) -> None:
    first_chat, second_chat = Counter(token, 1), Counter(token, 2)
    acquire(sequencer, first_chat)
    acquire(sequencer, second_chat, floor=500)
    first = accept(sequencer, first_chat, [message('"number":9'), message(), message()])
    accept(sequencer, second_chat, [message()])
    assert read_unpersisted(sequencer, token, 2, 3, 1) == [
        UnpersistedChat(True, last=501),
        UnpersistedChat(),
        UnpersistedChat(True, last=3),
    ]
    sequencer.acknowledge({first_chat: dict.fromkeys((2, 3), first.revision + 2)})
    assert read_unpersisted(sequencer, token, 1) == [UnpersistedChat(True, last=1)]
    sequencer.acknowledge({first_chat: {1: first.revision}})
    assert read_unpersisted(sequencer, token, 1) == [UnpersistedChat(True)]
    assert read_unpersisted(sequencer, token) == []


def test_pending_deletions_are_listed_until_they_are_acknowledged(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    first = accept(sequencer, counter, [message(), message(), message()])
    revisions = {number: delete(sequencer, counter, number) for number in (3, 1)}
    assert read_unpersisted(sequencer, token, 1) == [
        UnpersistedChat(True, last=3, deletions=(1, 3))
    ]
    sequencer.acknowledge({counter: {n: first.revision + n - 1 for n in (1, 2, 3)}})
    assert read_unpersisted(sequencer, token, 1) == [
        UnpersistedChat(True, last=3, deletions=(1, 3))
    ]
    sequencer.acknowledge({counter: {3: revisions[3]}})
    assert read_unpersisted(sequencer, token, 1) == [UnpersistedChat(True, last=1, deletions=(1,))]
    sequencer.acknowledge({counter: {1: revisions[1]}})
    assert read_unpersisted(sequencer, token, 1) == [UnpersistedChat(True)]


def test_the_pending_deletion_of_a_stored_message_is_listed(
    sequencer: Sequencer, token: str
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    first = accept(sequencer, counter, [message(), message()])
    sequencer.acknowledge({counter: dict.fromkeys((1, 2), first.revision + 1)})
    revision = delete(sequencer, counter, 1)
    assert read_unpersisted(sequencer, token, 1) == [UnpersistedChat(True, last=1, deletions=(1,))]
    sequencer.acknowledge({counter: {1: revision}})
    assert read_unpersisted(sequencer, token, 1) == [UnpersistedChat(True)]


def test_pending_and_deleted_chats_are_recognized(sequencer: Sequencer, token: str) -> None:
    counter = Counter(token)
    acquire(sequencer, counter)
    accept(sequencer, counter, [CHAT, CHAT])
    version = read_pending(sequencer, counter).pending[0].version
    assert read_unpersisted(sequencer, token, 1, 2, 3) == [
        UnpersistedChat(True),
        UnpersistedChat(True),
        UnpersistedChat(),
    ]
    deleted = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(version, deleted_at=NOW),
        EditPrecondition(version.revision, 0, 0),
    )
    assert isinstance(deleted, Accepted)
    for _ in range(2):
        assert read_unpersisted(sequencer, token, 1, 2) == [
            UnpersistedChat(True),
            UnpersistedChat(gone=True),
        ]
        sequencer.acknowledge({counter: {2: deleted.revision}})


def test_unpersisted_chats_are_read_only_with_a_valid_key_of_a_cached_application(
    sequencer: Sequencer, token: str
) -> None:
    assert isinstance(
        sequencer.read_unpersisted(Tenant(secrets.token_hex(15), 1), [1]), ApplicationNotCached
    )
    with pytest.raises(UnauthenticatedError):
        sequencer.read_unpersisted(Tenant(token, 0), [])
    sequencer.block_application(token)
    with pytest.raises(NotFoundError):
        sequencer.read_unpersisted(Tenant(token, 1), [])


def test_entries_that_are_not_acknowledged_become_overdue(
    sequencer: Sequencer, token: str, clock: FakeClock
) -> None:
    counter = Counter(token, 1)
    acquire(sequencer, counter)
    first = accept(sequencer, counter, [message("1"), message("2")])
    assert sequencer.list_overdue([token], 10) == []
    clock.wait(OVERDUE_AFTER_MS / 1000)
    sequencer.acknowledge({counter: {1: first.revision}})
    assert sequencer.list_overdue(["nobody", token], 10) == [(counter, 2)]
    assert [p.version.number for p in sequencer.get_pending({counter: [1, 2]})[counter]] == [2]
    sequencer.postpone({counter: {1: 0, 2: clock.now_ms() + 1}})
    assert sequencer.list_overdue([token], 10) == []
    clock.wait(1)
    assert sequencer.list_overdue([token], 10) == [(counter, 2)]


def test_the_oldest_pending_version_is_searched_in_all_applications_and_counters(
    sequencer: Sequencer, token: str, clock: FakeClock
) -> None:
    assert sequencer.oldest_pending([]) is None
    assert sequencer.oldest_pending(["nobody", token]) is None
    chat, chats = Counter(token, 1), Counter(token)
    accepted_at, revisions = [], []
    acquire(sequencer, chat)
    acquire(sequencer, chats)
    accepts: list[tuple[Counter, list[Message] | list[Chat]]] = [
        (chat, [message()]),
        (chats, [CHAT]),
        (chat, [message()]),
    ]
    for counter, drafts in accepts:
        revisions.append(accept(sequencer, counter, drafts).revision)
        accepted_at.append(clock.now_ms())
        clock.wait(1)
    assert sequencer.oldest_pending(["nobody", token]) == accepted_at[0]
    sequencer.postpone({chat: {1: clock.now_ms() + 10 * OVERDUE_AFTER_MS}})
    assert sequencer.oldest_pending([token]) == accepted_at[0]
    sequencer.acknowledge({chat: {1: revisions[0]}})
    assert sequencer.oldest_pending([token]) == accepted_at[1]


@pytest.fixture(params=["fake", "valkey"])
def small(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Sequencer]:
    """A sequencer that accepts three pending entries a counter and five an application."""
    if request.param == "fake":
        yield InMemorySequencer(clock, 1000, 3, 5)
        return
    sequencer = RedisSequencer(part_url("redis"), clock, 1000, "", 3, 5)
    yield sequencer
    sequencer.close()


def test_pending_entries_are_limited_for_a_chat_and_for_an_application(small: Sequencer) -> None:
    token = secrets.token_hex(15)
    cache_application(small, application(token))
    first_chat, second_chat = Counter(token, 1), Counter(token, 2)
    acquire(small, first_chat)
    acquire(small, second_chat)
    first = accept(small, first_chat, [message()] * 3)
    version = read_pending(small, first_chat).pending[0].version
    with pytest.raises(UnavailableError):
        small.accept(Tenant(first_chat.token, 1), first_chat, [message()])
    with pytest.raises(UnavailableError):
        small.edit(
            Tenant(first_chat.token, 1),
            first_chat,
            version,
            EditPrecondition(version.revision, 0, 0),
        )
    with pytest.raises(UnavailableError):
        small.accept(Tenant(second_chat.token, 1), second_chat, [message()] * 3)
    accept(small, second_chat, [message()] * 2)
    small.acknowledge({first_chat: {1: first.revision}})
    assert accept(small, first_chat, [message()]).first == 4


def test_many_at_once_never_share_a_number(clock: FakeClock) -> None:
    sequencer, counter = (
        RedisSequencer(part_url("redis"), clock, 1000),
        Counter(secrets.token_hex(15), 1),
    )
    cache_application(sequencer, application(counter.token))
    acquire(sequencer, counter)

    def twenty(_: int) -> list[int]:
        return [accept(sequencer, counter, [message()]).first for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        issued = sorted(chain.from_iterable(pool.map(twenty, range(8))))
    sequencer.close()
    assert issued == list(range(1, 161))


def test_a_redis_that_is_away_is_unavailable(clock: FakeClock) -> None:
    with pytest.raises(UnavailableError):
        RedisSequencer("redis://127.0.0.1:1/0", clock, 1000).ping()
