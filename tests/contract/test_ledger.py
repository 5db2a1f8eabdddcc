"""What the ledger promises, on the server in memory, on a real Valkey and on a cluster of it."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from msgspec.structs import replace

from chalicelib.adapters.redis import keys
from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS, RedisLedger
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyMark
from chalicelib.domain.leases import (
    Accepted,
    Basis,
    Begun,
    Counter,
    Given,
    Look,
    NeedApplication,
    NeedBegin,
    NeedRaise,
    NeedWait,
)
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.paging import Page
from chalicelib.domain.rate_limits import Allowance, Bucket
from chalicelib.domain.times import rfc3339
from chalicelib.domain.unread import Ahead
from chalicelib.usecases.ports import Ledger
from tests.contract.cluster import Cluster, running_cluster
from tests.contract.conftest import part_url
from tests.contract.states import application, introduce
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger

NOW = "2026-09-21T14:13:20.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)
ALL = Page(limit=1000)


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
def ledger(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger(clock)
        return
    of_cluster = request.param == "cluster"
    url = request.getfixturevalue("cluster").url if of_cluster else part_url("redis")
    ledger = RedisLedger(url, clock, 1000)
    yield ledger
    ledger.close()


@pytest.fixture
def token(ledger: Ledger) -> str:
    token = secrets.token_hex(15)
    introduce(ledger, application(token))
    return token


def begin(
    ledger: Ledger, counter: Counter, floor: int = 0, epoch: int = 1, window: int = 1000
) -> None:
    drafts = [CHAT] if counter.chat is None else [message()]
    need = ledger.accept(counter, 1, drafts, None)
    assert isinstance(need, NeedBegin)
    begun = Begun(floor, Lease(need.holder, epoch, floor + window))
    assert ledger.install_lease(counter, need.nonce, begun)


def accept(
    ledger: Ledger,
    counter: Counter,
    drafts: list[Message] | list[Chat],
    mark: IdempotencyMark | None = None,
) -> Accepted:
    accepted = ledger.accept(counter, 1, drafts, mark)
    assert isinstance(accepted, Accepted)
    return accepted


def look(
    ledger: Ledger,
    counter: Counter,
    page: Page = ALL,
    mark: IdempotencyMark | None = None,
    allowance: Allowance | None = None,
) -> Look:
    seen = ledger.look(counter, 1, page, mark, allowance)
    assert isinstance(seen, Look)
    return seen


def numbers(seen: Look) -> list[int]:
    return [p.state.number for p in seen.pending]


# --- which keys are valid


FAR = "2999-01-01T00:00:00.000Z"
PAST = "2001-01-01T00:00:00.000Z"


def asked(ledger: Ledger, token: str, version: int = 1) -> NeedApplication:
    need = ledger.look(Counter(token), version, ALL)
    assert isinstance(need, NeedApplication)
    return need


def is_valid(ledger: Ledger, token: str, version: int) -> bool:
    """Whether the key opens reading; it must open writing just the same."""
    draft = [message()]
    try:
        ledger.look(Counter(token, 1), version, ALL)
    except UnauthenticatedError:
        with pytest.raises(UnauthenticatedError):
            ledger.accept(Counter(token, 1), version, draft, None)
        with pytest.raises(UnauthenticatedError):
            ledger.edit(Counter(token, 1), version, draft[0], Basis(0, 0, 0))
        with pytest.raises(UnauthenticatedError):
            ledger.ahead(token, version, [1])
        return False
    ledger.accept(Counter(token, 1), version, draft, None)
    return True


def test_an_unknown_application_is_asked_for_by_all_with_one_nonce(ledger: Ledger) -> None:
    token = secrets.token_hex(15)
    need = ledger.accept(Counter(token, 1), 1, [message()], None)
    assert isinstance(need, NeedApplication)
    assert ledger.edit(Counter(token, 1), 1, message(), Basis(0, 0, 0)) == need
    assert asked(ledger, token, 2) == need
    assert ledger.remember_application(application(token), need.nonce)
    assert not ledger.remember_application(application(token), need.nonce)
    assert is_valid(ledger, token, 1)


def test_another_version_of_the_key_is_refused(ledger: Ledger, token: str) -> None:
    assert is_valid(ledger, token, 1)
    assert not is_valid(ledger, token, 0)


def test_a_version_that_is_newer_than_what_is_known_is_looked_up_once(
    ledger: Ledger, token: str
) -> None:
    first = asked(ledger, token, 2)
    assert asked(ledger, token, 1) == first
    assert ledger.remember_application(application(token), first.nonce)
    assert is_valid(ledger, token, 1)
    assert not is_valid(ledger, token, 2)
    second = asked(ledger, token, 3)
    assert second != first
    assert ledger.remember_application(application(token, 3), second.nonce)
    assert [is_valid(ledger, token, n) for n in (1, 2, 3)] == [False, False, True]
    ledger.forget_key(token)
    introduce(ledger, application(token, 2))
    assert asked(ledger, token, 3)


def test_only_the_version_before_is_valid_beside_the_newest_and_only_for_its_time(
    ledger: Ledger,
) -> None:
    for until, before in ((FAR, True), (PAST, False), (None, False)):
        token = secrets.token_hex(15)
        introduce(ledger, application(token, 3, until))
        assert [is_valid(ledger, token, n) for n in (1, 2, 3)] == [False, before, True]


def test_the_version_before_ends_to_the_millisecond(clock: FakeClock) -> None:
    ledger, token = FakeLedger(clock), secrets.token_hex(15)
    introduce(ledger, application(token, 2, rfc3339(clock.now_ms() + 2_000)))
    clock.wait(1.999)
    assert is_valid(ledger, token, 1)
    clock.wait(0.001)
    assert not is_valid(ledger, token, 1)
    assert is_valid(ledger, token, 2)


def test_a_changed_key_is_asked_for_again(ledger: Ledger, token: str) -> None:
    ledger.forget_key(token)
    introduce(ledger, application(token, 2))
    assert not is_valid(ledger, token, 1)
    assert is_valid(ledger, token, 2)


def lose(ledger: Ledger, token: str) -> None:
    """The copy expires, or Redis is wiped."""
    assert isinstance(ledger, RedisLedger)
    ledger._pipeline([("UNLINK", keys.application(token))])


def test_what_was_read_before_the_key_was_changed_is_not_taken(ledger: Ledger) -> None:
    old, new = (application(token := secrets.token_hex(15), version) for version in (1, 2))
    need = asked(ledger, token)
    ledger.forget_key(token)
    assert not ledger.remember_application(old, need.nonce)
    introduce(ledger, new)
    assert not ledger.remember_application(old, need.nonce)
    lose(ledger, token)
    assert not ledger.remember_application(old, need.nonce)
    later = asked(ledger, token)
    assert later != need
    assert not ledger.remember_application(old, need.nonce)
    assert ledger.remember_application(new, later.nonce)
    assert not is_valid(ledger, token, 1)


def test_what_is_told_late_of_a_changed_key_brings_nothing_back(ledger: Ledger, token: str) -> None:
    for _ in range(2):
        ledger.forget_key(token)
        introduce(ledger, application(token, 3))
        assert is_valid(ledger, token, 3)
        assert not is_valid(ledger, token, 2)


def test_a_copy_of_another_memory_is_not_believed(ledger: Ledger, token: str) -> None:
    other = secrets.token_hex(15)
    need = asked(ledger, other)
    assert isinstance(ledger, RedisLedger)
    ledger._fixed_holder = "the memory of a snapshot"
    assert not ledger.remember_application(application(other), need.nonce)
    assert asked(ledger, other) != need
    introduce(ledger, application(token, 2))
    assert not is_valid(ledger, token, 1)


def test_a_deleted_application_is_not_found_and_not_remembered_again(
    ledger: Ledger, token: str
) -> None:
    unknown = secrets.token_hex(15)
    nonces = {unknown: asked(ledger, unknown).nonce, token: "a nonce"}
    for gone, nonce in nonces.items():
        ledger.forget_application(gone)
        ledger.forget_key(gone)
        assert not ledger.remember_application(application(gone), nonce)
        with pytest.raises(NotFoundError):
            ledger.look(Counter(gone), 1, ALL)


# --- leases


def test_without_a_lease_no_number_is_given(ledger: Ledger, token: str) -> None:
    need = ledger.accept(Counter(token), 1, [CHAT], None)
    assert isinstance(need, NeedBegin)
    assert numbers(look(ledger, Counter(token))) == []


def test_one_caller_begins_and_the_others_wait(ledger: Ledger, token: str) -> None:
    need = ledger.accept(Counter(token), 1, [CHAT], None)
    assert ledger.accept(Counter(token), 1, [CHAT], None) == NeedWait()
    assert isinstance(need, NeedBegin)
    ledger.drop_nonce(Counter(token), "another nonce")
    assert ledger.accept(Counter(token), 1, [CHAT], None) == NeedWait()
    ledger.drop_nonce(Counter(token), need.nonce)
    assert isinstance(ledger.accept(Counter(token), 1, [CHAT], None), NeedBegin)


def take_over(ledger: Ledger, counter: Counter, clock: FakeClock) -> NeedBegin:
    """Begin as soon as who began before is no longer waited for: 5 s, by the server's clock."""
    until = time.monotonic() + 20
    while isinstance(need := ledger.accept(counter, 1, [CHAT], None), NeedWait):
        assert time.monotonic() < until
        clock.wait(1)
        time.sleep(0.05)  # the pause between two looks
    assert isinstance(need, NeedBegin)
    return need


def test_who_gave_up_is_named_to_who_begins_next(
    ledger: Ledger, token: str, clock: FakeClock
) -> None:
    counter = Counter(token)
    first = ledger.accept(counter, 1, [CHAT], None)
    assert isinstance(first, NeedBegin)
    assert first.given_up == ()
    assert ledger.is_beginning(counter, first.nonce)
    second = take_over(ledger, counter, clock)
    assert second.given_up == (first.nonce,)
    assert not ledger.is_beginning(counter, first.nonce)
    ledger.drop_nonce(counter, second.nonce)  # MySQL gave it nothing
    third = ledger.accept(counter, 1, [CHAT], None)
    assert isinstance(third, NeedBegin)
    assert third.given_up == (first.nonce,)
    assert not ledger.install_lease(counter, first.nonce, Begun(0, Lease(first.holder, 1, 9)))
    assert ledger.install_lease(counter, third.nonce, Begun(0, Lease(third.holder, 2, 9)))
    assert not ledger.is_beginning(counter, third.nonce)


# --- closing the leases of quiet counters


def quiet_chat(ledger: Ledger, token: str) -> Counter:
    """A chat with two messages, both persisted."""
    counter = Counter(token, 1)
    begin(ledger, counter)
    accepted = accept(ledger, counter, [message("1"), message("2")])
    ledger.settle({counter: {1: accepted.revision, 2: accepted.revision + 1}})
    return counter


def test_many_counters_are_settled_at_once_also_where_the_script_is_not_known(
    ledger: Ledger, token: str
) -> None:
    settled = {}
    for counter in (Counter(token, 2), Counter(token, 3), Counter(token)):
        begin(ledger, counter)
        states = [CHAT] if counter.chat is None else [message()]
        settled[counter] = {1: accept(ledger, counter, states).revision}
    if not isinstance(ledger, FakeLedger):
        assert isinstance(ledger, RedisLedger)
        ledger._scripts.client.script_flush()
    ledger.settle(settled)
    assert [look(ledger, counter).pending for counter in settled] == [(), (), ()]
    ledger.settle({})


def test_a_counter_is_quiet_when_nothing_is_pending_of_it(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    accepted = accept(ledger, counter, [message("1"), message("2")])
    ledger.settle({counter: {1: accepted.revision}})
    assert ledger.start_closing(counter, 0) is None
    ledger.settle({counter: {2: accepted.revision + 1}})
    assert ledger.quiet([token], 0, 10) == [counter]
    assert ledger.quiet([token], 60_000, 10) == []
    assert ledger.start_closing(counter, 60_000) is None
    assert accept(ledger, counter, [message()]).first == 3


def test_a_closing_counter_gives_nothing_until_its_lease_was_given_back(
    ledger: Ledger, token: str
) -> None:
    counter = quiet_chat(ledger, token)
    closing = ledger.start_closing(counter, 0)
    assert closing is not None
    assert (closing.epoch, closing.last) == (1, 2)
    for _ in range(2):
        assert ledger.accept(counter, 1, [message()], None) == closing
    ledger.raise_lease(counter, Lease(closing.holder, 1, 5000))
    assert ledger.accept(counter, 1, [message()], None) == closing
    ledger.finish_closing(counter, replace(closing, epoch=2))
    assert ledger.accept(counter, 1, [message()], None) == closing
    ledger.finish_closing(counter, closing)
    assert ledger.quiet([token], 0, 10) == []
    assert not look(ledger, counter).known
    begin(ledger, counter, floor=2, epoch=2)
    assert accept(ledger, counter, [message()]).first == 3


def test_a_late_end_of_a_closing_leaves_the_next_lease_alone(ledger: Ledger, token: str) -> None:
    counter = quiet_chat(ledger, token)
    closing = ledger.start_closing(counter, 0)
    assert closing is not None
    ledger.finish_closing(counter, closing)
    begin(ledger, counter, floor=2, epoch=2)
    ledger.finish_closing(counter, closing)
    assert accept(ledger, counter, [message()]).first == 3


def test_a_chat_that_is_pending_keeps_its_counter(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token))
    chat = accept(ledger, Counter(token), [CHAT])
    counter = Counter(token, chat.first)
    accepted = accept(ledger, counter, [message()])
    ledger.settle({counter: {1: accepted.revision}})
    assert ledger.start_closing(counter, 0) is None
    ledger.settle({Counter(token): {chat.first: chat.revision}})
    assert ledger.start_closing(counter, 0) is not None


def test_a_state_made_while_its_chat_was_pending_brings_no_first_lease_back(
    ledger: Ledger, token: str
) -> None:
    chats = Counter(token)
    begin(ledger, chats)
    chat = accept(ledger, chats, [CHAT])
    seen = look(ledger, chats)
    state = seen.pending[0].state
    assert isinstance(state, Chat)
    assert state.messages_lease is not None
    ledger.settle({chats: {1: chat.revision}})
    state = replace(state, title="new", metadata={"messages_lease": {"a": "b"}})
    edited = ledger.edit(chats, 1, state, Basis(chat.revision, seen.edits, 0))
    assert isinstance(edited, Accepted)
    assert look(ledger, chats).pending[0].state == replace(
        state, revision=edited.revision, messages_lease=None
    )


def test_a_state_made_from_the_row_while_its_chat_is_pending_keeps_the_first_lease(
    ledger: Ledger, token: str
) -> None:
    chats = Counter(token)
    begin(ledger, chats)
    chat = accept(ledger, chats, [CHAT])
    seen = look(ledger, chats)
    state = replace(seen.pending[0].state, messages_lease=None)
    edited = ledger.edit(chats, 1, replace(state, title="new"), Basis(chat.revision, seen.edits, 0))
    assert isinstance(edited, Accepted)
    assert accept(ledger, Counter(token, 1), [message()]).first == 1
    ledger.settle({chats: {1: edited.revision}})
    assert accept(ledger, Counter(token, 1), [message()]).first == 2


def test_an_application_that_is_gone_leaves_nothing_behind(ledger: Ledger, token: str) -> None:
    quiet_chat(ledger, token)
    begin(ledger, Counter(token, 2))
    accept(ledger, Counter(token, 2), [message()])
    delete(ledger, Counter(token, 2), 1)
    begin(ledger, Counter(token))
    ledger.erase_application(token)
    assert ahead(ledger, token, 2) == [Ahead()]
    assert ledger.quiet([token], 0, 10) == []
    assert ledger.overdue([token], 10) == []
    assert not look(ledger, Counter(token, 1)).known
    assert numbers(look(ledger, Counter(token, 2))) == []


def test_a_counter_that_has_given_nothing_yet_is_quiet(ledger: Ledger, token: str) -> None:
    chats, counter = Counter(token), Counter(token, 1)
    begin(ledger, chats)
    chat = accept(ledger, chats, [CHAT])
    too_many = [message()] * (chat.lease.ceiling + 1)
    assert isinstance(ledger.accept(counter, 1, too_many, None), NeedRaise)
    assert ledger.quiet([token], 0, 10) == [chats, counter]
    ledger.erase_application(token)
    assert not look(ledger, counter).known


def test_a_lease_is_installed_only_under_its_nonce_and_in_its_memory(
    ledger: Ledger, token: str
) -> None:
    counter = Counter(token)
    need = ledger.accept(counter, 1, [CHAT], None)
    assert isinstance(need, NeedBegin)
    good = Begun(0, Lease(need.holder, 1, 1000))
    assert not ledger.install_lease(counter, "a late caller", good)
    assert not ledger.install_lease(counter, need.nonce, Begun(0, Lease("another memory", 1, 1000)))
    assert ledger.install_lease(counter, need.nonce, good)
    assert not ledger.install_lease(counter, need.nonce, good)


def test_numbers_begin_above_the_floor_and_follow_each_other(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token), floor=40)
    first = accept(ledger, Counter(token), [CHAT])
    second = accept(ledger, Counter(token), [CHAT])
    assert (first.first, second.first) == (41, 42)
    assert second.revision == first.revision + 1


def test_a_batch_gets_numbers_in_a_row_or_none(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 7)
    begin(ledger, counter, window=10)
    assert accept(ledger, counter, [message(str(i)) for i in range(8)]).last == 8
    need = ledger.accept(counter, 1, [message(str(i)) for i in range(3)], None)
    assert isinstance(need, NeedRaise)
    assert need.lease.ceiling == 10
    assert accept(ledger, counter, [message()]).first == 9


def test_at_the_ceiling_a_raise_goes_on_without_a_skip(ledger: Ledger, token: str) -> None:
    counter = Counter(token)
    begin(ledger, counter, window=1)
    accept(ledger, counter, [CHAT])
    need = ledger.accept(counter, 1, [CHAT], None)
    assert isinstance(need, NeedRaise)
    ledger.raise_lease(counter, replace(need.lease, epoch=9, ceiling=5))
    ledger.raise_lease(counter, replace(need.lease, holder="another", ceiling=5))
    assert isinstance(ledger.accept(counter, 1, [CHAT], None), NeedRaise)
    ledger.raise_lease(counter, replace(need.lease, ceiling=5))
    ledger.raise_lease(counter, replace(need.lease, ceiling=3))
    assert [accept(ledger, counter, [CHAT]).first for _ in range(4)] == [2, 3, 4, 5]


def test_a_released_lease_begins_anew(ledger: Ledger, token: str) -> None:
    counter = Counter(token)
    begin(ledger, counter, window=1)
    lease = accept(ledger, counter, [CHAT]).lease
    ledger.release_lease(counter, replace(lease, epoch=7))
    assert isinstance(ledger.accept(counter, 1, [CHAT], None), NeedRaise)
    ledger.release_lease(counter, lease)
    begin(ledger, counter, floor=100, epoch=2)
    assert accept(ledger, counter, [CHAT]).first == 101


def test_a_newer_epoch_has_higher_revisions(ledger: Ledger, token: str) -> None:
    counter = Counter(token)
    begin(ledger, counter)
    before = accept(ledger, counter, [CHAT])
    ledger.release_lease(counter, before.lease)
    begin(ledger, counter, floor=1000, epoch=30_000)
    after = accept(ledger, counter, [CHAT])
    assert after.revision == 30_000 * 2**32 + 1 > before.revision


def test_a_chat_takes_messages_before_it_is_persisted(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token))
    chat = accept(ledger, Counter(token), [CHAT])
    accepted = accept(ledger, Counter(token, chat.first), [message()])
    assert (accepted.first, accepted.lease) == (1, Lease(chat.lease.holder, 1, 1000))


def test_a_settled_chat_keeps_its_first_lease(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token))
    chat = accept(ledger, Counter(token), [CHAT])
    ledger.settle({Counter(token): {chat.first: chat.revision}})
    assert accept(ledger, Counter(token, chat.first), [message()]).first == 1


def test_an_unknown_chat_says_how_far_chats_were_numbered(ledger: Ledger, token: str) -> None:
    need = ledger.accept(Counter(token, 5), 1, [message()], None)
    assert isinstance(need, NeedBegin)
    assert need.chats is None
    begin(ledger, Counter(token))
    accept(ledger, Counter(token), [CHAT])
    other = ledger.accept(Counter(token, 6), 1, [message()], None)
    assert isinstance(other, NeedBegin)
    assert other.chats == Given(other.holder, 1, 1)


def test_a_retry_gets_the_first_answer_and_what_is_pending(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token, 1))
    mark = IdempotencyMark("a key", "fingerprint")
    first = accept(ledger, Counter(token, 1), [message("1"), message("2")], mark)
    again = accept(ledger, Counter(token, 1), [message("1"), message("2")], mark)
    assert again.replayed
    assert (again.first, again.last, again.revision) == (first.first, first.last, first.revision)
    assert (again.created_at, again.lease) == (NOW, first.lease)
    assert [p.state for p in again.pending] == [
        replace(message("1"), number=1, revision=first.revision),
        replace(message("2"), number=2, revision=first.revision + 1),
    ]
    ledger.settle({Counter(token, 1): {1: first.revision}})
    assert len(accept(ledger, Counter(token, 1), [message("1"), message("2")], mark).pending) == 1


def test_a_key_used_for_another_request_is_refused(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token, 1))
    accept(ledger, Counter(token, 1), [message()], IdempotencyMark("a key", "fingerprint"))
    with pytest.raises(KeyReusedError):
        ledger.accept(Counter(token, 1), 1, [message()], IdempotencyMark("a key", "other"))


def test_a_retry_of_an_edit_gets_the_first_answer_at_the_look_and_at_the_edit(
    ledger: Ledger, token: str
) -> None:
    counter, mark = Counter(token, 1), IdempotencyMark("a key", "fingerprint")
    begin(ledger, counter)
    accept(ledger, counter, [message()])
    seen = ledger.look(counter, 1, ALL, mark)
    assert isinstance(seen, Look)
    assert seen.replayed is None
    state = replace(seen.pending[0].state, body="new")
    edited = ledger.edit(counter, 1, state, Basis(state.revision, seen.edits, 0), mark, b'{"a": 1}')
    assert isinstance(edited, Accepted)
    again = ledger.edit(counter, 1, state, Basis(state.revision, seen.edits, 0), mark, b"another")
    assert isinstance(again, Accepted)
    assert again == replace(edited, replayed=True, kept=b'{"a": 1}', pending=again.pending)
    assert [p.state for p in again.pending] == [replace(state, revision=edited.revision)]
    assert look(ledger, counter, ALL, mark).replayed == again
    assert len(look(ledger, counter).pending) == 1
    ledger.settle({counter: {1: edited.revision}})
    assert look(ledger, counter, ALL, mark).replayed == replace(again, pending=())


def test_a_retry_of_a_deletion_is_no_look_at_what_is_gone(ledger: Ledger, token: str) -> None:
    chats, messages = Counter(token), Counter(token, 1)
    begin(ledger, chats)
    accept(ledger, chats, [CHAT])
    accept(ledger, messages, [message()])
    of_chat, of_message = IdempotencyMark("chat", "f"), IdempotencyMark("message", "f")
    for counter, mark in ((messages, of_message), (chats, of_chat)):
        seen = look(ledger, counter)
        state = replace(seen.pending[0].state, deleted_at=NOW)
        deleted = ledger.edit(counter, 1, state, Basis(state.revision, seen.edits, 0), mark, b"")
        assert isinstance(deleted, Accepted)
    for counter, mark in ((messages, of_message), (chats, of_chat)):
        replayed = look(ledger, counter, ALL, mark).replayed
        assert replayed is not None
        assert replayed.first == 1
    with pytest.raises(GoneError):
        ledger.look(messages, 1, ALL)


def test_a_key_of_another_request_is_refused_by_looks_and_edits(ledger: Ledger, token: str) -> None:
    counter, other = Counter(token, 1), IdempotencyMark("a key", "other")
    begin(ledger, counter)
    accept(ledger, counter, [message()], IdempotencyMark("a key", "fingerprint"))
    seen = look(ledger, counter)
    state = seen.pending[0].state
    with pytest.raises(KeyReusedError):
        ledger.look(counter, 1, ALL, other)
    with pytest.raises(KeyReusedError):
        ledger.edit(counter, 1, state, Basis(state.revision, seen.edits, 0), other, b"")


# --- limits


def of_application(rate: float = 0.01, size: int = 5) -> Bucket:
    """One that fills so slowly that a test does not notice."""
    return Bucket(rate, size)


def left(allowance: Allowance) -> list[tuple[str, int]]:
    return [(of.bucket.name, of.left) for of in allowance.left]


def test_a_request_takes_one_and_a_batch_one_for_each_message(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    for drafts, still in (([message()], 4), ([message()] * 3, 1)):
        allowance = Allowance(of_application())
        assert isinstance(ledger.accept(counter, 1, drafts, None, allowance), Accepted)
        assert left(allowance) == [("application", still)]
    allowance = Allowance(of_application())
    look(ledger, counter, ALL, None, allowance)
    assert left(allowance) == [("application", 0)]
    allowance = Allowance(of_application(size=9))
    assert isinstance(ledger.ahead(token, 1, [1, 2], allowance), dict)
    assert left(allowance) == [("application", 3)]


def test_beyond_the_bucket_nothing_is_given_and_nothing_taken(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    ledger.accept(counter, 1, [message()] * 3, None, Allowance(of_application()))
    refused = Allowance(of_application())
    with pytest.raises(RateLimitedError) as error:
        ledger.accept(counter, 1, [message()] * 3, None, refused)
    assert (error.value.limit, error.value.retry_after_seconds) == ("application", 100)
    assert left(refused) == [("application", 2)]
    assert 200_000 < refused.left[0].full_in_ms <= 300_000
    ledger.accept(counter, 1, [message()] * 2, None, Allowance(of_application()))
    with pytest.raises(RateLimitedError):
        ledger.look(counter, 1, ALL, None, Allowance(of_application()))
    with pytest.raises(RateLimitedError):
        ledger.ahead(token, 1, [1, 2], Allowance(of_application()))
    assert accept(ledger, counter, [message()]).first == 6


def test_a_bucket_fills_with_time_and_holds_no_more_than_its_size(
    ledger: Ledger, token: str, clock: FakeClock
) -> None:
    counter, quick = Counter(token, 1), of_application(rate=20, size=4)
    begin(ledger, counter)
    for _ in range(2):
        ledger.accept(counter, 1, [message()] * 4, None, Allowance(quick))
        until = time.monotonic() + 20
        while True:
            probe = Allowance(quick)
            with pytest.raises(RateLimitedError):
                ledger.accept(counter, 1, [message()] * 5, None, probe)
            if left(probe) == [("application", 4)]:
                break
            assert time.monotonic() < until
            clock.wait(0.1)
            time.sleep(0.05)  # the pause between two looks
        clock.wait(10)


def test_an_application_that_is_refused_holds_up_no_other(ledger: Ledger, token: str) -> None:
    other = secrets.token_hex(15)
    introduce(ledger, application(other))
    ledger.look(Counter(token), 1, ALL, None, Allowance(of_application(size=1)))
    with pytest.raises(RateLimitedError):
        ledger.look(Counter(token), 1, ALL, None, Allowance(of_application(size=1)))
    allowance = Allowance(of_application(size=1))
    look(ledger, Counter(other), ALL, None, allowance)
    assert left(allowance) == [("application", 0)]


def test_a_user_is_held_to_both_buckets_and_takes_from_both_or_none(
    ledger: Ledger, token: str
) -> None:
    def ask(user: str | None) -> Allowance:
        of_user = () if user is None else (Bucket(0.01, 2, user),)
        allowance = Allowance(of_application(), *of_user)
        try:
            ledger.look(Counter(token), 1, ALL, None, allowance)
        except RateLimitedError as error:
            refused.append(error.limit)
        return allowance

    refused: list[str] = []
    assert left(ask("ann")) == [("application", 4), ("user", 1)]
    assert left(ask("ann")) == [("application", 3), ("user", 0)]
    assert left(ask("ann")) == [("application", 3), ("user", 0)]
    assert left(ask("bob")) == [("application", 2), ("user", 1)]
    assert [left(ask(None)), left(ask(None))] == [[("application", 1)], [("application", 0)]]
    assert left(ask("bob")) == [("application", 0), ("user", 1)]
    assert refused == ["user", "application"]


def test_one_request_takes_once_and_only_when_it_is_served(ledger: Ledger, token: str) -> None:
    counter, allowance = Counter(token, 1), Allowance(of_application())
    need = ledger.accept(counter, 1, [message()], None, allowance)
    assert isinstance(need, NeedBegin)
    assert isinstance(ledger.accept(counter, 1, [message()], None, allowance), NeedWait)
    assert allowance.left == ()
    assert ledger.install_lease(counter, need.nonce, Begun(0, Lease(need.holder, 1, 1000)))
    for _ in range(3):
        assert isinstance(ledger.accept(counter, 1, [message()], None, allowance), Accepted)
        look(ledger, counter, ALL, None, allowance)
        assert left(allowance) == [("application", 4)]


def test_a_replay_takes_as_its_request_did(ledger: Ledger, token: str) -> None:
    counter, mark = Counter(token, 1), IdempotencyMark("a key", "fingerprint")
    begin(ledger, counter)
    for still in (3, 1):
        allowance = Allowance(of_application())
        answer = ledger.accept(counter, 1, [message()] * 2, mark, allowance)
        assert isinstance(answer, Accepted)
        assert left(allowance) == [("application", still)]
    with pytest.raises(RateLimitedError):
        ledger.accept(counter, 1, [message()] * 2, mark, Allowance(of_application()))


def test_a_look_into_a_deleted_chat_takes_and_a_post_to_it_does_not(
    ledger: Ledger, token: str
) -> None:
    ledger.forget_chats(token, [1])
    looking, posting = Allowance(of_application()), Allowance(of_application())
    with pytest.raises(GoneError):
        ledger.look(Counter(token, 1), 1, ALL, None, looking)
    with pytest.raises(GoneError):
        ledger.accept(Counter(token, 1), 1, [message()], None, posting)
    assert (left(looking), left(posting)) == ([("application", 4)], [])


def test_pending_states_come_by_number_and_page(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    accept(ledger, counter, [message(str(i)) for i in range(1, 13)])
    assert numbers(look(ledger, counter, Page(limit=3))) == [12, 11, 10]
    assert look(ledger, counter, Page(limit=3)).cut
    assert numbers(look(ledger, counter, Page(limit=3, before=3))) == [2, 1]
    assert not look(ledger, counter, Page(limit=3, before=3)).cut
    assert numbers(look(ledger, counter, Page(limit=3, after=8))) == [9, 10, 11]
    assert numbers(look(ledger, counter, Page(limit=9, after=8, before=11))) == [9, 10]


def test_a_state_comes_back_exactly(ledger: Ledger, token: str) -> None:
    begin(ledger, Counter(token, 1))
    body = 'pipes | and "quotes" and \\ and \x00 and 😀 and \u202e }'
    draft = replace(message(body), metadata={"a|b": [1, None, 2.5, {"x": "}"}]})
    accepted = accept(ledger, Counter(token, 1), [draft])
    pending = look(ledger, Counter(token, 1)).pending[0]
    assert pending.state == replace(draft, number=1, revision=accepted.revision)
    assert pending.lease == accepted.lease


def test_an_edit_replaces_the_pending_state_with_a_newer_revision(
    ledger: Ledger, token: str
) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    accept(ledger, counter, [message()])
    seen = look(ledger, counter)
    state = seen.pending[0].state
    edited = ledger.edit(
        counter, 1, replace(state, body="new"), Basis(state.revision, seen.edits, 0)
    )
    assert isinstance(edited, Accepted)
    assert edited.revision > state.revision
    now = look(ledger, counter).pending
    assert [p.state for p in now] == [replace(state, body="new", revision=edited.revision)]
    with pytest.raises(ConflictError):
        ledger.edit(counter, 1, replace(state, body="late"), Basis(state.revision, seen.edits, 0))


def test_an_edit_of_a_stored_state_conflicts_when_any_edit_came_since(
    ledger: Ledger, token: str
) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    first = accept(ledger, counter, [message(), message()])
    ledger.settle({counter: {1: first.revision, 2: first.revision + 1}})
    seen = look(ledger, counter)
    stored = replace(message(), number=1, revision=first.revision)
    done = ledger.edit(counter, 1, replace(stored, body="a"), Basis(stored.revision, seen.edits, 0))
    assert isinstance(done, Accepted)
    ledger.settle({counter: {1: done.revision}})
    with pytest.raises(ConflictError):
        ledger.edit(counter, 1, replace(stored, body="b"), Basis(stored.revision, seen.edits, 0))


def test_a_new_lease_makes_earlier_looks_conflict(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    first = accept(ledger, counter, [message()])
    seen = look(ledger, counter)
    ledger.settle({counter: {1: first.revision}})
    ledger.release_lease(counter, first.lease)
    begin(ledger, counter, floor=1000, epoch=2)
    stored = replace(message(), number=1, revision=first.revision)
    with pytest.raises(ConflictError):
        ledger.edit(counter, 1, stored, Basis(stored.revision, seen.edits, 0))


def test_an_edit_under_an_older_lease_asks_mysql_first(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    lease = accept(ledger, counter, [message()]).lease
    seen = look(ledger, counter)
    state = seen.pending[0].state
    newer = Basis(state.revision, seen.edits, lease.epoch + 1)
    assert ledger.edit(counter, 1, state, newer) == NeedRaise(lease)
    same = Basis(state.revision, seen.edits, lease.epoch)
    assert isinstance(ledger.edit(counter, 1, state, same), Accepted)


def test_settling_leaves_a_newer_edit_alone(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    first = accept(ledger, counter, [message()])
    state = look(ledger, counter).pending[0].state
    edited = ledger.edit(counter, 1, replace(state, body="new"), Basis(state.revision, 0, 0))
    assert isinstance(edited, Accepted)
    ledger.settle({counter: {1: first.revision}})
    assert numbers(look(ledger, counter)) == [1]
    ledger.settle({counter: {1: edited.revision}})
    assert numbers(look(ledger, counter)) == []


def test_a_deleted_chat_takes_nothing_more(ledger: Ledger, token: str) -> None:
    chats, messages = Counter(token), Counter(token, 1)
    begin(ledger, chats)
    accept(ledger, chats, [CHAT])
    accept(ledger, messages, [message()])
    state = look(ledger, chats).pending[0].state
    deleted = ledger.edit(chats, 1, replace(state, deleted_at=NOW), Basis(state.revision, 0, 0))
    assert isinstance(deleted, Accepted)
    for _ in range(2):
        with pytest.raises(GoneError):
            ledger.accept(messages, 1, [message()], None)
        with pytest.raises(GoneError):
            ledger.look(messages, 1, ALL)
        ledger.settle({chats: {1: deleted.revision}})


def test_a_lease_begun_before_the_deletion_opens_nothing(ledger: Ledger, token: str) -> None:
    chats, messages = Counter(token), Counter(token, 9)
    begin(ledger, chats)
    need = ledger.accept(messages, 1, [message()], None)
    assert isinstance(need, NeedBegin)
    stored = replace(CHAT, number=9, revision=5, deleted_at=NOW)
    assert isinstance(
        ledger.edit(chats, 1, stored, Basis(5, look(ledger, chats).edits, 0)), Accepted
    )
    ledger.install_lease(messages, need.nonce, Begun(0, Lease(need.holder, 2, 1000)))
    with pytest.raises(GoneError):
        ledger.accept(messages, 1, [message()], None)


# --- what is ahead of MySQL


def ahead(ledger: Ledger, token: str, *chats: int) -> list[Ahead]:
    found = ledger.ahead(token, 1, chats)
    assert isinstance(found, dict)
    assert list(found) == list(chats)
    return list(found.values())


def delete(ledger: Ledger, counter: Counter, number: int) -> int:
    """Its revision."""
    seen = look(ledger, counter, Page(limit=1, after=number - 1, before=number + 1))
    stored = replace(message(), number=number, revision=1)
    state = seen.pending[0].state if seen.pending else stored
    deleted = ledger.edit(
        counter, 1, replace(state, deleted_at=NOW), Basis(state.revision, seen.edits, 0)
    )
    assert isinstance(deleted, Accepted)
    return deleted.revision


def test_the_highest_pending_number_is_told_of_each_chat(ledger: Ledger, token: str) -> None:
    one, two = Counter(token, 1), Counter(token, 2)
    begin(ledger, one)
    begin(ledger, two, floor=500)
    first = accept(ledger, one, [message('"number":9'), message(), message()])
    accept(ledger, two, [message()])
    assert ahead(ledger, token, 2, 3, 1) == [Ahead(True, last=501), Ahead(), Ahead(True, last=3)]
    ledger.settle({one: dict.fromkeys((2, 3), first.revision + 2)})
    assert ahead(ledger, token, 1) == [Ahead(True, last=1)]
    ledger.settle({one: {1: first.revision}})
    assert ahead(ledger, token, 1) == [Ahead(True)]
    assert ahead(ledger, token) == []


def test_pending_deletions_are_told_until_they_are_settled(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    first = accept(ledger, counter, [message(), message(), message()])
    revisions = {number: delete(ledger, counter, number) for number in (3, 1)}
    assert ahead(ledger, token, 1) == [Ahead(True, last=3, deletions=(1, 3))]
    ledger.settle({counter: {n: first.revision + n - 1 for n in (1, 2, 3)}})
    assert ahead(ledger, token, 1) == [Ahead(True, last=3, deletions=(1, 3))]
    ledger.settle({counter: {3: revisions[3]}})
    assert ahead(ledger, token, 1) == [Ahead(True, last=1, deletions=(1,))]
    ledger.settle({counter: {1: revisions[1]}})
    assert ahead(ledger, token, 1) == [Ahead(True)]


def test_the_deletion_of_a_stored_message_is_told(ledger: Ledger, token: str) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    first = accept(ledger, counter, [message(), message()])
    ledger.settle({counter: dict.fromkeys((1, 2), first.revision + 1)})
    revision = delete(ledger, counter, 1)
    assert ahead(ledger, token, 1) == [Ahead(True, last=1, deletions=(1,))]
    ledger.settle({counter: {1: revision}})
    assert ahead(ledger, token, 1) == [Ahead(True)]


def test_chats_that_are_pending_or_deleted_are_told_as_such(ledger: Ledger, token: str) -> None:
    counter = Counter(token)
    begin(ledger, counter)
    accept(ledger, counter, [CHAT, CHAT])
    state = look(ledger, counter).pending[0].state
    assert ahead(ledger, token, 1, 2, 3) == [Ahead(True), Ahead(True), Ahead()]
    deleted = ledger.edit(counter, 1, replace(state, deleted_at=NOW), Basis(state.revision, 0, 0))
    assert isinstance(deleted, Accepted)
    for _ in range(2):
        assert ahead(ledger, token, 1, 2) == [Ahead(True), Ahead(gone=True)]
        ledger.settle({counter: {2: deleted.revision}})


def test_what_is_ahead_is_told_to_the_right_key_of_a_known_application(
    ledger: Ledger, token: str
) -> None:
    assert isinstance(ledger.ahead(secrets.token_hex(15), 1, [1]), NeedApplication)
    with pytest.raises(UnauthenticatedError):
        ledger.ahead(token, 0, [])
    ledger.forget_application(token)
    with pytest.raises(NotFoundError):
        ledger.ahead(token, 1, [])


def test_what_is_not_settled_becomes_overdue(ledger: Ledger, token: str, clock: FakeClock) -> None:
    counter = Counter(token, 1)
    begin(ledger, counter)
    first = accept(ledger, counter, [message("1"), message("2")])
    assert ledger.overdue([token], 10) == []
    clock.wait(OVERDUE_AFTER_MS / 1000)
    ledger.settle({counter: {1: first.revision}})
    assert ledger.overdue(["nobody", token], 10) == [(counter, 2)]
    assert [p.state.number for p in ledger.take_overdue(counter, [1, 2])] == [2]
    ledger.postpone(counter, {1: 0, 2: clock.now_ms() + 1})
    assert ledger.overdue([token], 10) == []
    clock.wait(1)
    assert ledger.overdue([token], 10) == [(counter, 2)]


def test_the_oldest_pending_state_is_that_of_any_application_and_counter(
    ledger: Ledger, token: str, clock: FakeClock
) -> None:
    assert ledger.oldest_pending([]) is None
    assert ledger.oldest_pending(["nobody", token]) is None
    chat, chats = Counter(token, 1), Counter(token)
    accepted_at, revisions = [], []
    begin(ledger, chat)
    begin(ledger, chats)
    for counter, draft in ((chat, message()), (chats, CHAT), (chat, message())):
        revisions.append(accept(ledger, counter, [draft]).revision)
        accepted_at.append(clock.now_ms())
        clock.wait(1)
    assert ledger.oldest_pending(["nobody", token]) == accepted_at[0]
    ledger.postpone(chat, {1: clock.now_ms() + 10 * OVERDUE_AFTER_MS})
    assert ledger.oldest_pending([token]) == accepted_at[0]
    ledger.settle({chat: {1: revisions[0]}})
    assert ledger.oldest_pending([token]) == accepted_at[1]


@pytest.fixture(params=["fake", "valkey"])
def small(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Ledger]:
    """A ledger that takes three pending entries a counter and five an application."""
    if request.param == "fake":
        yield FakeLedger(clock, 1000, 3, 5)
        return
    ledger = RedisLedger(part_url("redis"), clock, 1000, "", 3, 5)
    yield ledger
    ledger.close()


def test_what_is_pending_is_bounded_for_a_chat_and_for_an_application(small: Ledger) -> None:
    token = secrets.token_hex(15)
    introduce(small, application(token))
    one, two = Counter(token, 1), Counter(token, 2)
    begin(small, one)
    begin(small, two)
    first = accept(small, one, [message()] * 3)
    state = look(small, one).pending[0].state
    with pytest.raises(UnavailableError):
        small.accept(one, 1, [message()], None)
    with pytest.raises(UnavailableError):
        small.edit(one, 1, state, Basis(state.revision, 0, 0))
    with pytest.raises(UnavailableError):
        small.accept(two, 1, [message()] * 3, None)
    accept(small, two, [message()] * 2)
    small.settle({one: {1: first.revision}})
    assert accept(small, one, [message()]).first == 4


def test_many_at_once_never_share_a_number(clock: FakeClock) -> None:
    ledger, counter = RedisLedger(part_url("redis"), clock, 1000), Counter(secrets.token_hex(15), 1)
    introduce(ledger, application(counter.token))
    begin(ledger, counter)

    def twenty(_: int) -> list[int]:
        return [accept(ledger, counter, [message()]).first for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        given = sorted(chain.from_iterable(pool.map(twenty, range(8))))
    ledger.close()
    assert given == list(range(1, 161))


def test_a_redis_that_is_away_is_unavailable(clock: FakeClock) -> None:
    with pytest.raises(UnavailableError):
        RedisLedger("redis://127.0.0.1:1/0", clock, 1000).ping()
