"""What every store promises, on the fake, on MariaDB and on a real MySQL."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.change_feed import Since
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    InProgressError,
    KeyReusedError,
    PoisonError,
)
from chalicelib.domain.idempotency import IdempotencyKey, IdempotentWrite
from chalicelib.domain.leases import Counter, IssuedUpTo, LeaseGrant, LeaseMissing, LeaseReleasing
from chalicelib.domain.limits import MAX_BODY_CHARS
from chalicelib.domain.models import Application, Lease, Message, PurgedItem, PurgeStep, RoundState
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import ApplicationCursor, PageRequest
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import Store
from tests.contract.databases import SERVERS, migrated_database
from tests.contract.factories import (
    LEASE,
    NOW,
    acquire,
    chat,
    chats,
    deleted,
    message,
    messages,
    purge_all,
)
from tests.fakes.store import FakeStore

LATER = "2026-02-01T08:15:30.007Z"
MUCH_LATER = "2026-03-01T00:00:00.999Z"
WINDOW = 10
ALL = PageRequest(limit=1000)


@pytest.fixture(scope="module", params=["fake", *SERVERS])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "fake":
        yield FakeStore()
        return
    with migrated_database(request.param) as url:
        store = MySqlStore(url)
        yield store
        store.close()


@pytest.fixture
def token(store: Store) -> str:
    return new_application(store)


def new_application(store: Store, created_at: str = NOW) -> str:
    return store.applications.create_application(
        secrets.token_hex(16), "an application", created_at
    ).token


def counts(store: Store, token: str, number: int = 1) -> tuple[int, int]:
    row = store.chats.get_chat(token, number)
    assert row is not None
    return row.messages_count, row.last_message_number


def chats_count(store: Store, token: str) -> int:
    application = store.applications.get_application(token)
    assert application is not None
    return application.chats_count


def numbers(store: Store, token: str, page: PageRequest = ALL, chat: int = 1) -> list[int]:
    return [
        version.number for version in store.messages.list_messages(token, chat, page, page.limit)
    ]


def documents(store: Store, *records: MessagesRecord) -> list[tuple[int, int]]:
    persisted = store.persistence.persist_messages(records, WINDOW)
    versions = [document.message for document in persisted.documents]
    return sorted((version.number, version.revision) for version in versions)


# --- applications


def test_an_application_is_read_as_it_was_created(store: Store, token: str) -> None:
    application = store.applications.get_application(token)
    assert application is not None
    assert (application.name, application.created_at) == ("an application", NOW)
    assert (application.chats_count, application.key_version) == (0, 1)


def test_an_application_can_be_renamed_to_the_name_it_has(store: Store, token: str) -> None:
    for _ in range(2):
        renamed = store.applications.rename_application(token, "Zoë 🦊")
        assert renamed is not None
        assert renamed.name == "Zoë 🦊"


def test_a_deleted_application_cannot_be_read(store: Store, token: str) -> None:
    assert store.applications.delete_application(token, NOW)
    assert not store.applications.delete_application(token, LATER)
    assert store.applications.get_application(token) is None
    assert store.applications.rename_application(token, "x") is None


def test_a_key_gets_its_next_version_once(store: Store, token: str) -> None:
    made = store.applications.rotate_key(token, 1, LATER)
    assert made is not None
    assert (made.key_version, made.previous_key_until) == (2, LATER)
    assert store.applications.rotate_key(token, 1, MUCH_LATER) is None
    assert store.applications.get_application(token) == made
    again = store.applications.rotate_key(token, 2, None)
    assert again is not None
    assert (again.key_version, again.previous_key_until) == (3, None)
    assert store.applications.get_application(token) == again


def test_a_deleted_or_unknown_application_gets_no_key(store: Store, token: str) -> None:
    store.applications.delete_application(token, NOW)
    assert store.applications.rotate_key(token, 1, LATER) is None
    assert store.applications.rotate_key("nobody", 1, LATER) is None


def test_reads_of_unknown_names_return_nothing(store: Store, token: str) -> None:
    for unknown in ("nobody", "é", "x" * 500, ""):
        assert store.applications.get_application(unknown) is None
        assert store.chats.get_chat(unknown, 1) is None
        assert store.messages.list_messages(unknown, 1, ALL, 10) == []
    assert store.chats.get_chat(token, 1) is None
    assert store.messages.get_message(token, 1, 1) is None
    assert store.leases.skipped_numbers(token, 1) == []
    assert store.messages.list_changes(token, 1, Since(), 10) == []
    assert stored_revisions(store, Counter(token, 1), [1]) == {}
    assert stored_revisions(store, Counter(token, 1), []) == {}


def stored_revisions(store: Store, counter: Counter, numbers: list[int]) -> dict[int, int]:
    return store.messages.revisions({counter: numbers})[counter]


def test_applications_are_listed_newest_first_and_tokens_oldest_first(store: Store) -> None:
    years = (2091, 2092, 2093)
    first, second, third = (new_application(store, NOW.replace("2026", str(y))) for y in years)
    store.applications.delete_application(second, NOW)
    newest = store.applications.list_applications(None, 2)
    assert [a.token for a in newest] == [third, first]
    assert store.applications.list_applications(cursor_behind(newest[0]), 1) == newest[1:]
    [*_, listed, last] = store.applications.list_tokens(0, 1000)
    assert (listed.token, last.token) == (first, third)
    assert store.applications.list_tokens(listed.id, 10) == [last]
    assert store.applications.list_tokens(last.id - 1, 10) == [last]


def test_a_list_of_applications_continues_behind_one_that_was_purged(store: Store) -> None:
    at_once = NOW.replace("2026", "2094")
    tokens = sorted((new_application(store, at_once) for _ in range(5)), reverse=True)
    listed: list[str] = []
    cursor: ApplicationCursor | None = None
    for _ in tokens:
        [shown] = store.applications.list_applications(cursor, 1)
        listed.append(shown.token)
        cursor = cursor_behind(shown)
        store.applications.delete_application(shown.token, NOW)
        assert purged_of(store, shown.token, MUCH_LATER) == [None]
    assert listed == tokens


def cursor_behind(shown: Application) -> ApplicationCursor:
    return ApplicationCursor(shown.created_at, shown.token)


# --- messages


def test_a_message_is_read_exactly_as_it_was_stored(store: Store, token: str) -> None:
    version = Message(
        number=1,
        revision=2**32 + 7,
        body="NUL \0 quote ' \" back \\ percent %s %% \r\n\x1a 🦊 \u2028 trailing  ",
        sender=" Zoë ",
        metadata={"z": 1, "a": [1.5, None, "🦊\0"], "big": 2**60},
        created_at="2026-01-31T23:59:59.999Z",
        edited_at=LATER,
        idempotency_key="key ü",
    )
    store.persistence.persist_messages([messages(token, version)], WINDOW)
    assert store.messages.get_message(token, 1, 1) == version


def test_a_body_of_twenty_thousand_four_byte_characters_fits(store: Store, token: str) -> None:
    body = "🦊" * 20_000
    store.persistence.persist_messages([messages(token, message(1, body=body))], WINDOW)
    stored = store.messages.get_message(token, 1, 1)
    assert stored is not None
    assert stored.body == body


def test_a_batch_of_several_statements_is_stored_completely(store: Store, token: str) -> None:
    versions = [message(n, body="\0" * 20_000) for n in range(1, 121)]
    lease = replace(LEASE, ceiling=1000)
    store.persistence.persist_messages([messages(token, *versions, lease=lease)], 1000)
    assert counts(store, token) == (120, 120)


def test_pages_follow_the_numbers(store: Store, token: str) -> None:
    versions = [deleted(3, 2) if n == 3 else message(n) for n in range(1, 8)]
    store.persistence.persist_messages([messages(token, *versions)], WINDOW)
    assert numbers(store, token) == [7, 6, 5, 4, 2, 1]
    assert numbers(store, token, PageRequest(limit=2, before=5)) == [4, 2]
    assert numbers(store, token, PageRequest(limit=2, after=2)) == [4, 5]
    assert numbers(store, token, PageRequest(limit=9, after=0)) == [1, 2, 4, 5, 6, 7]
    assert numbers(store, token, PageRequest(limit=9, before=0)) == []
    assert numbers(store, token, PageRequest(limit=9, after=1, before=4)) == [2]


def test_redelivery_changes_nothing_and_still_returns_the_documents(
    store: Store, token: str
) -> None:
    record = messages(token, message(1), message(2))
    for _ in range(3):
        assert documents(store, record) == [(1, 1), (2, 1)]
        assert counts(store, token) == (2, 2)
    assert chats_count(store, token) == 1


def test_an_older_version_that_arrives_late_is_acknowledged_with_the_newer_revision(
    store: Store, token: str
) -> None:
    store.persistence.persist_messages([messages(token, message(1, 5))], WINDOW)
    done = store.persistence.persist_messages([messages(token, message(1, 4))], WINDOW)
    assert done.documents == ()
    assert done.acknowledged == {Counter(token, 1): {1: 5}}
    assert stored_revisions(store, Counter(token, 1), [1, 2]) == {1: 5}


def test_the_newest_version_of_a_message_in_a_batch_wins(store: Store, token: str) -> None:
    records = [messages(token, message(1, 2), message(1, 3)), messages(token, message(1, 1))]
    assert documents(store, *records) == [(1, 3)]
    assert counts(store, token) == (1, 1)


VERSIONS = [
    message(1, 1),
    message(1, 2),
    deleted(1, 3),
    message(2, 4),
    deleted(2, 5),
    message(3, 6),
]


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_every_order_of_create_edit_and_delete_has_the_same_result(
    store: Store, token: str, in_one_batch: bool
) -> None:
    for number, order in enumerate(permutations(VERSIONS[:4]), 1):
        if in_one_batch:
            store.persistence.persist_messages([messages(token, *order, chat=number)], WINDOW)
        else:
            for version in order:
                store.persistence.persist_messages([messages(token, version, chat=number)], WINDOW)
        assert counts(store, token, number) == (1, 2)
        assert numbers(store, token, chat=number) == [2]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(st.sampled_from(VERSIONS), min_size=1), max_size=5))
def test_counts_are_those_of_the_newest_versions_in_any_order_of_arrival(
    store: Store, batches: list[list[Message]]
) -> None:
    token = new_application(store)
    newest: dict[int, Message] = {}
    for batch in batches:
        store.persistence.persist_messages([messages(token, version) for version in batch], WINDOW)
        for version in batch:
            newest[version.number] = max(
                version, newest.get(version.number, version), key=lambda other: other.revision
            )
        alive = [version for version in newest.values() if version.deleted_at is None]
        assert counts(store, token) == (len(alive), max(newest))
    assert chats_count(store, token) == (1 if batches else 0)


def test_one_batch_stores_messages_of_many_chats_and_applications(store: Store) -> None:
    tokens = [new_application(store) for _ in range(3)]
    records = [messages(t, message(n), chat=c) for n in (1, 2) for t in tokens for c in (2, 1)]
    done = store.persistence.persist_messages(records, WINDOW)
    assert len(done.documents) == 12
    assert [chats_count(store, t) for t in tokens] == [2, 2, 2]
    assert done.acknowledged[Counter(tokens[0], 2)] == {1: 1, 2: 1}


def test_messages_of_a_deleted_or_unknown_chat_or_application_are_dropped_and_acknowledged(
    store: Store,
) -> None:
    gone, open_ = new_application(store), new_application(store)
    store.persistence.persist_messages([messages(gone, message(1))], WINDOW)
    store.applications.delete_application(gone, NOW)
    store.persistence.persist_chats([chats(open_, chat(1, 2, deleted_at=NOW))], WINDOW)
    records = [messages(t, message(1, 7)) for t in (gone, open_, "nobody")]
    done = store.persistence.persist_messages(records, WINDOW)
    assert (done.documents, done.extended) == ((), ())
    assert done.acknowledged == {Counter(t, 1): {1: 7} for t in (gone, open_, "nobody")}
    assert counts(store, open_) == (0, 0)


def test_persisting_nothing_does_nothing(store: Store, token: str) -> None:
    assert store.persistence.persist_messages([messages(token)], WINDOW).acknowledged == {}
    assert store.persistence.persist_chats([], WINDOW).acknowledged == {}
    assert store.chats.get_chat(token, 1) is None


# --- bodies that do not fit into a response

LARGE = MAX_BODY_CHARS * "a"


def test_a_list_of_large_bodies_ends_with_the_first_one_that_does_not_fit(
    store: Store, token: str
) -> None:
    versions = [message(number, number, body=LARGE) for number in range(1, 31)]
    for batch in (versions[:15], versions[15:]):
        store.persistence.persist_messages([messages(token, *batch)], WINDOW)
    newest = store.messages.list_messages(token, 1, ALL, 30)
    assert newest == versions[:-25:-1]
    oldest = store.messages.list_messages(token, 1, PageRequest(30, after=0), 30)
    assert oldest == versions[:24]
    changes = store.messages.list_changes(token, 1, Since(), 30)
    assert [change.message for change in changes] == versions[:24]
    assert store.messages.list_messages(token, 1, ALL, 7) == versions[:-8:-1]
    rest = store.messages.list_changes(token, 1, changes[-1].since, 30)
    assert [change.message for change in rest] == versions[24:]


# --- changes


def revisions_since(
    store: Store, token: str, since: Since, limit: int = 100
) -> list[tuple[int, int]]:
    """Number and revision of each change of chat 1."""
    changes = store.messages.list_changes(token, 1, since, limit)
    return [(c.message.number, c.message.revision) for c in changes]


def test_changes_are_in_the_order_of_storing_and_not_of_revisions(store: Store, token: str) -> None:
    for version in (message(3, 9), message(1, 4), message(2, 6)):
        store.persistence.persist_messages([messages(token, version)], WINDOW)
    assert revisions_since(store, token, Since()) == [(3, 9), (1, 4), (2, 6)]
    [_, second, _] = store.messages.list_changes(token, 1, Since(), 100)
    assert revisions_since(store, token, second.since) == [(2, 6)]
    assert revisions_since(store, token, Since(), 2) == [(3, 9), (1, 4)]
    assert second.message == message(1, 4)


def test_changes_of_one_batch_are_in_the_order_of_revisions(store: Store, token: str) -> None:
    records = [messages(token, message(3, 5), message(1, 9)), messages(token, message(2, 7))]
    store.persistence.persist_messages(records, WINDOW)
    assert revisions_since(store, token, Since()) == [(3, 5), (2, 7), (1, 9)]


def test_a_change_feed_has_each_message_once_in_its_newest_version(
    store: Store, token: str
) -> None:
    store.persistence.persist_messages([messages(token, message(1, 1), message(2, 2))], WINDOW)
    [_, last] = store.messages.list_changes(token, 1, Since(), 100)
    edited = message(1, 3, edited_at=LATER)
    store.persistence.persist_messages([messages(token, edited)], WINDOW)
    store.persistence.persist_messages([messages(token, deleted(2, 4))], WINDOW)
    assert revisions_since(store, token, Since()) == [(1, 3), (2, 4)]
    assert revisions_since(store, token, last.since) == [(1, 3), (2, 4)]
    assert [c.type for c in store.messages.list_changes(token, 1, last.since, 9)] == [
        "edited",
        "deleted",
    ]


def test_a_record_that_changes_nothing_adds_no_change(store: Store, token: str) -> None:
    records = [messages(token, message(1, 2)), messages(token, message(2, 3))]
    store.persistence.persist_messages(records, WINDOW)
    [_, last] = store.messages.list_changes(token, 1, Since(), 100)
    for again in (records[0], messages(token, message(2, 1)), messages(token, message(1, 2))):
        store.persistence.persist_messages([again], WINDOW)
    store.persistence.persist_chats([chats(token, chat(1, 5, title="late"))], WINDOW)
    assert revisions_since(store, token, last.since) == []
    store.persistence.persist_messages([messages(token, message(3, 4))], WINDOW)
    assert revisions_since(store, token, last.since) == [(3, 4)]


def test_changes_of_a_chat_are_its_own(store: Store, token: str) -> None:
    other = new_application(store)
    for owner, number in ((token, 1), (token, 2), (other, 1)):
        store.persistence.persist_messages(
            [messages(owner, message(7, number), chat=number)], WINDOW
        )
    assert revisions_since(store, token, Since()) == [(7, 1)]
    assert store.messages.list_changes(token, 3, Since(), 9) == []
    assert store.messages.list_changes("nobody", 1, Since(), 9) == []


def test_a_deleted_chat_has_no_changes(store: Store, token: str) -> None:
    store.persistence.persist_messages([messages(token, message(1))], WINDOW)
    store.persistence.persist_chats([chats(token, chat(1, 2, deleted_at=NOW))], WINDOW)
    assert revisions_since(store, token, Since()) == []


def follow(store: Store, token: str, copy: dict[int, Message], since: Since) -> Since:
    """Update a copy of chat 1, three changes at a time. Each change is newer than the copy."""
    while changes := store.messages.list_changes(token, 1, since, 3):
        for change in changes:
            held = copy.get(change.message.number)
            assert held is None or held.revision < change.message.revision
            copy[change.message.number] = change.message
        since = changes[-1].since
    return since


def test_a_follower_during_many_writes_ends_with_the_stored_versions(
    store: Store, token: str
) -> None:
    lease = replace(LEASE, ceiling=1000)
    records = [
        messages(token, version, lease=lease)
        for n in range(1, 61)
        for version in (message(n, n), message(n, 100 + n, edited_at=NOW))
    ]
    records += [messages(token, deleted(n, 200 + n), lease=lease) for n in range(1, 61, 3)]
    done = Event()

    def write(turn: int) -> None:
        scoped_to_user = records[turn::4][:: 1 if turn % 2 else -1]
        for start in range(0, len(scoped_to_user), 1 + turn):
            store.persistence.persist_messages(scoped_to_user[start : start + 1 + turn], 1000)

    def read(_: int) -> dict[int, Message]:
        copy: dict[int, Message] = {}
        since = Since()
        while not done.is_set():
            since = follow(store, token, copy, since)
        follow(store, token, copy, since)
        return copy

    with ThreadPoolExecutor(7) as pool:
        readers = pool.map(read, range(3))
        try:
            list(pool.map(write, range(4)))
        finally:
            done.set()
        copies = list(readers)
    stored = {n: deleted(n, 200 + n) if n % 3 == 1 else None for n in range(1, 61)}
    for copy in copies:
        assert copy == {
            n: version or message(n, 100 + n, edited_at=NOW) for n, version in stored.items()
        }


# --- chats


def test_a_chat_is_read_exactly_as_it_was_stored(store: Store, token: str) -> None:
    version = chat(3, 9, title="🦊\0'", metadata={"a": {"b": []}}, edited_at=LATER)
    done = store.persistence.persist_chats(
        [chats(token, replace(version, messages_lease=LEASE))], WINDOW
    )
    row = store.chats.get_chat(token, 3)
    assert row is not None
    assert (row.chat, row.messages_count, row.last_message_number) == (version, 0, 0)
    assert done.acknowledged == {Counter(token): {3: 9}}


def test_a_stub_is_counted_once_and_filled_in_by_its_chat(store: Store, token: str) -> None:
    store.persistence.persist_messages([messages(token, message(1, created_at=LATER))], WINDOW)
    stub = store.chats.get_chat(token, 1)
    assert stub is not None
    assert (stub.chat.revision, stub.chat.created_at) == (0, LATER)
    assert stored_revisions(store, Counter(token), [1]) == {}
    store.persistence.persist_chats([chats(token, chat(1, 4, title="late"))], WINDOW)
    filled = store.chats.get_chat(token, 1)
    assert filled is not None
    assert (filled.chat.title, filled.chat.created_at) == ("late", NOW)
    assert filled.messages_count == 1
    assert stored_revisions(store, Counter(token), [1]) == {1: 4}
    assert chats_count(store, token) == 1


def test_every_order_of_chat_versions_and_messages_has_the_same_result(store: Store) -> None:
    versions = [
        chat(1, 1, title="a"),
        chat(1, 2, title="b"),
        chat(1, 3, title="c", deleted_at=LATER),
    ]
    steps: list[Callable[[str], object]] = [
        lambda t: store.persistence.persist_chats([chats(t, versions[0])], WINDOW),
        lambda t: store.persistence.persist_chats([chats(t, versions[1])], WINDOW),
        lambda t: store.persistence.persist_chats([chats(t, versions[2])], WINDOW),
        lambda t: store.persistence.persist_messages([messages(t, message(1))], WINDOW),
    ]
    for order in permutations(steps):
        token = new_application(store)
        for step in order:
            step(token)
        row = store.chats.get_chat(token, 1)
        assert row is not None
        assert (row.chat.title, row.chat.deleted_at, row.messages_count) == (None, LATER, 0)
        assert chats_count(store, token) == 0
        assert store.messages.list_messages(token, 1, ALL, 10) == []
        assert store.messages.get_message(token, 1, 1) is None


def test_a_late_record_never_restores_a_deleted_chat_whatever_its_revision(
    store: Store, token: str
) -> None:
    store.persistence.persist_chats([chats(token, chat(1, 5), chat(1, 6, deleted_at=NOW))], WINDOW)
    store.persistence.persist_chats([chats(token, chat(1, 99, title="back"))], WINDOW)
    row = store.chats.get_chat(token, 1)
    assert row is not None
    assert row.chat.deleted_at == NOW
    assert chats_count(store, token) == 0
    both = [chats(token, chat(2, 9, title="x")), chats(token, chat(2, 8, deleted_at=NOW))]
    done = store.persistence.persist_chats(both, WINDOW)
    assert done.acknowledged == {Counter(token): {2: 9}}
    assert chats_count(store, token) == 0


def test_existing_chats_have_a_row_and_are_not_deleted(store: Store, token: str) -> None:
    other = store.applications.create_application(secrets.token_hex(16), "another", NOW).token
    store.persistence.persist_chats([chats(token, chat(1), chat(2, 2, deleted_at=NOW))], WINDOW)
    store.persistence.persist_messages([messages(token, message(1), chat=3)], WINDOW)
    store.persistence.persist_chats([chats(other, chat(1))], WINDOW)
    candidates = {(token, n) for n in range(1, 1_000)} | {(other, 1), ("nobody", 1)}
    assert store.chats.existing_chats(candidates) == {(token, 1), (token, 3), (other, 1)}
    store.applications.delete_application(other, NOW)
    assert store.chats.existing_chats(candidates) == {(token, 1), (token, 3)}
    assert store.chats.existing_chats(set()) == set()


def test_chats_are_listed_by_number_without_deleted_ones(store: Store, token: str) -> None:
    versions = [chat(n, 1, deleted_at=LATER if n == 3 else None) for n in range(1, 6)]
    store.persistence.persist_chats([chats(token, *versions)], WINDOW)

    def listed(page: PageRequest) -> list[int]:
        return [row.chat.number for row in store.chats.list_chats(token, page, page.limit)]

    assert listed(ALL) == [5, 4, 2, 1]
    assert listed(PageRequest(limit=2, before=5)) == [4, 2]
    assert listed(PageRequest(limit=2, after=1)) == [2, 4]
    assert chats_count(store, token) == 4


# --- leases


def test_a_lease_starts_above_the_highest_ceiling_ever_granted(store: Store, token: str) -> None:
    counter = Counter(token)
    first = acquire(store, counter, "a", WINDOW, NOW)
    assert first == LeaseGrant(0, Lease("a", 1, 10))
    assert store.leases.extend_lease(counter, first.lease, WINDOW, NOW) == Lease("a", 1, 20)
    assert acquire(store, counter, "b", WINDOW, NOW) == LeaseGrant(
        20, Lease("b", 2, 30), lost=True, skipped=20
    )
    assert store.leases.extend_lease(counter, first.lease, WINDOW, NOW) is None
    assert acquire(store, counter, "b", WINDOW, NOW) == LeaseGrant(
        30, Lease("b", 3, 40), lost=True, skipped=10
    )


def test_extending_a_lease_never_lowers_its_ceiling(store: Store, token: str) -> None:
    counter = Counter(token)
    grant = acquire(store, counter, "a", 100, NOW)
    assert grant is not None
    low = replace(grant.lease, ceiling=20)
    assert store.leases.extend_lease(counter, low, WINDOW, NOW) == Lease("a", 1, 100)


def test_a_counter_without_a_row_has_no_lease(store: Store, token: str) -> None:
    for counter in (Counter("nobody"), Counter(token, 1)):
        assert store.leases.lease_epoch(counter) is None
        assert store.leases.acquire_lease(counter, LeaseMissing("a", "aa"), 0, WINDOW, NOW) is None
        store.leases.release_leases({counter: LeaseReleasing("a", 1, 1)})
    with pytest.raises(GoneError):
        store.leases.extend_lease(Counter("nobody", 1), LEASE, WINDOW, NOW)


def test_no_lease_is_acquired_for_a_deleted_chat_or_application(store: Store, token: str) -> None:
    store.persistence.persist_chats([chats(token, chat(1, 1, deleted_at=NOW))], WINDOW)
    refuse_leases(store, Counter(token, 1))
    store.applications.delete_application(token, NOW)
    refuse_leases(store, Counter(token))
    refuse_leases(store, Counter(token, 1))


def refuse_leases(store: Store, counter: Counter) -> None:
    with pytest.raises(GoneError):
        store.leases.lease_epoch(counter)
    with pytest.raises(GoneError):
        store.leases.acquire_lease(counter, LeaseMissing("a", "aa"), 0, WINDOW, NOW)
    with pytest.raises(GoneError):
        store.leases.extend_lease(counter, LEASE, WINDOW, NOW)
    store.leases.release_leases({counter: LeaseReleasing("a", 1, 1)})


def test_a_lease_is_acquired_only_if_the_epoch_is_unchanged(store: Store, token: str) -> None:
    counter = Counter(token)
    assert store.leases.lease_epoch(counter) == 0
    acquire(store, counter, "a", WINDOW, NOW)
    assert store.leases.lease_epoch(counter) == 1
    with pytest.raises(ConflictError):
        store.leases.acquire_lease(counter, LeaseMissing("a", "aa"), 0, WINDOW, NOW)
    assert acquire(store, counter, "b", WINDOW, NOW) == LeaseGrant(
        10, Lease("b", 2, 20), lost=True, skipped=10
    )


def test_a_range_granted_to_an_attempt_that_was_never_installed_is_granted_again(
    store: Store, token: str
) -> None:
    counter = Counter(token)
    store.leases.acquire_lease(counter, LeaseMissing("a", "01"), 0, WINDOW, NOW)
    again = store.leases.acquire_lease(
        counter, LeaseMissing("a", "02", abandoned_nonces=("01",)), 1, WINDOW, NOW
    )
    assert again == LeaseGrant(0, Lease("a", 2, 10))
    again = store.leases.acquire_lease(
        counter, LeaseMissing("a", "03", abandoned_nonces=("02", "01")), 2, WINDOW, NOW
    )
    assert again == LeaseGrant(0, Lease("a", 3, 10))
    elsewhere = LeaseMissing("another incarnation", "04", abandoned_nonces=("03",))
    assert store.leases.acquire_lease(counter, elsewhere, 3, WINDOW, NOW) == LeaseGrant(
        10, Lease("another incarnation", 4, 20), lost=True, skipped=10
    )


def test_a_released_lease_returns_the_numbers_it_never_issued(store: Store, token: str) -> None:
    counter = Counter(token, 1)
    record = messages(token, message(1), message(2), lease=Lease("a", 1, 10))
    store.persistence.persist_messages([record], WINDOW)
    store.leases.release_leases({counter: LeaseReleasing("a", 2, 2)})
    store.leases.release_leases({counter: LeaseReleasing("b", 1, 2)})
    store.leases.release_leases({counter: LeaseReleasing("a", 1, 2)})
    assert store.leases.extend_lease(counter, Lease("a", 1, 10), WINDOW, NOW) is None
    store.persistence.persist_messages(
        [record], WINDOW
    )  # delivered once more, with its old ceiling
    store.persistence.persist_chats(
        [chats(token, chat(1, 1, messages_lease=Lease("a", 1, 10)))], WINDOW
    )
    assert acquire(store, counter, "b", WINDOW, NOW) == LeaseGrant(2, Lease("b", 2, 12))
    store.leases.release_leases({counter: LeaseReleasing("a", 1, 2)})
    store.persistence.persist_messages([record], WINDOW)
    assert acquire(store, counter, "c", WINDOW, NOW) == LeaseGrant(
        12, Lease("c", 3, 22), lost=True, skipped=10
    )
    assert store.leases.skipped_numbers(token, 1) == [NumberRange(3, 12)]


def test_the_lease_of_chat_numbers_is_released_in_the_same_way(store: Store, token: str) -> None:
    counter = Counter(token)
    grant = acquire(store, counter, "a", WINDOW, NOW)
    assert grant is not None
    record = chats(token, chat(1), lease=grant.lease)
    store.persistence.persist_chats([record], WINDOW)
    store.leases.release_leases({counter: LeaseReleasing("a", 1, 1)})
    store.persistence.persist_chats([record], WINDOW)
    assert acquire(store, counter, "a", WINDOW, NOW) == LeaseGrant(1, Lease("a", 2, 11))


def test_a_stub_has_the_lease_of_its_messages(store: Store, token: str) -> None:
    store.persistence.persist_messages(
        [messages(token, message(1), lease=Lease("a", 1, 40))], WINDOW
    )
    assert store.leases.extend_lease(Counter(token, 1), Lease("a", 1, 40), WINDOW, NOW) == Lease(
        "a", 1, 50
    )


def test_extending_the_first_lease_of_a_chat_without_a_row_creates_its_stub(
    store: Store, token: str
) -> None:
    first, counter = Lease("a", 1, 10), Counter(token, 3)
    assert store.leases.extend_lease(counter, first, WINDOW, NOW) == Lease("a", 1, 20)
    assert store.leases.extend_lease(counter, first, WINDOW, NOW) == Lease("a", 1, 20)
    assert store.leases.lease_epoch(counter) == 1
    stub = store.chats.get_chat(token, 3)
    assert stub is not None
    assert (stub.chat.revision, stub.messages_count, chats_count(store, token)) == (0, 0, 1)
    store.persistence.persist_messages([messages(token, message(11), chat=3, lease=first)], WINDOW)
    own = chat(3, title="its own", messages_lease=first)
    store.persistence.persist_chats([chats(token, own)], WINDOW)
    filled = store.chats.get_chat(token, 3)
    assert filled is not None
    assert (filled.chat.title, filled.messages_count, chats_count(store, token)) == (
        "its own",
        1,
        1,
    )
    # Whoever acquires the next lease starts above all that the first one gave.
    grant = acquire(store, counter, "b", WINDOW, NOW)
    assert grant is not None
    assert (grant.floor, grant.lease.epoch, grant.lost) == (20, 2, True)


def test_a_first_lease_that_was_lost_to_another_incarnation_is_not_extended(
    store: Store, token: str
) -> None:
    first, counter = Lease("a", 1, 10), Counter(token, 1)
    store.persistence.persist_messages([messages(token, message(1), lease=first)], WINDOW)
    acquire(store, counter, "b", WINDOW, NOW)
    assert store.leases.extend_lease(counter, first, WINDOW, NOW) is None


def test_the_row_of_a_chat_has_the_first_lease_of_its_messages(store: Store, token: str) -> None:
    first = Lease("a", 1, 40)
    store.persistence.persist_chats([chats(token, chat(1, 1, messages_lease=first))], WINDOW)
    store.persistence.persist_chats(
        [chats(token, chat(1, 1, messages_lease=replace(first, ceiling=60)))], 10
    )
    assert acquire(store, Counter(token, 1), "b", WINDOW, NOW) == LeaseGrant(
        60, Lease("b", 2, 70), lost=True, skipped=60
    )


def test_persisting_messages_extends_their_lease_once_half_of_it_is_used(
    store: Store, token: str
) -> None:
    counter = Counter(token, 1)
    assert store.persistence.persist_messages([messages(token, message(5))], WINDOW).extended == ()
    extended = store.persistence.persist_messages([messages(token, message(6))], WINDOW).extended
    assert extended == ((counter, Lease("incarnation-1", 1, 16)),)
    assert acquire(store, counter, "b", WINDOW, NOW) == LeaseGrant(
        16, Lease("b", 2, 26), lost=True, skipped=14
    )


def test_messages_of_an_older_lease_extend_nothing(store: Store, token: str) -> None:
    counter = Counter(token, 1)
    store.persistence.persist_messages([messages(token, message(1))], WINDOW)
    acquire(store, counter, "b", WINDOW, NOW)
    assert store.persistence.persist_messages([messages(token, message(10))], WINDOW).extended == ()
    assert acquire(store, counter, "c", WINDOW, NOW) == LeaseGrant(
        20, Lease("c", 3, 30), lost=True, skipped=10
    )


def test_a_newer_lease_in_a_record_raises_the_ceiling(store: Store, token: str) -> None:
    store.persistence.persist_messages([messages(token, message(1))], WINDOW)
    unknown = messages(token, message(2), lease=Lease("b", 2, 500))
    assert store.persistence.persist_messages([unknown], WINDOW).extended == ()
    assert acquire(store, Counter(token, 1), "c", WINDOW, NOW) == LeaseGrant(
        500, Lease("c", 2, 510), lost=True, skipped=498
    )


def test_persisting_chats_extends_the_lease_of_their_application(store: Store, token: str) -> None:
    grant = acquire(store, Counter(token), "a", WINDOW, NOW)
    assert grant is not None
    few = [chat(n) for n in range(1, 6)]
    assert (
        store.persistence.persist_chats([chats(token, *few, lease=grant.lease)], WINDOW).extended
        == ()
    )
    done = store.persistence.persist_chats([chats(token, chat(6), lease=grant.lease)], WINDOW)
    assert done.extended == ((Counter(token), Lease("a", 1, 16)),)


# --- skipped numbers


def test_a_number_is_skipped_until_its_message_arrives(store: Store, token: str) -> None:
    used = [message(n) for n in (1, 2, 4, 7)]
    store.persistence.persist_messages(
        [messages(token, *used, lease=replace(LEASE, ceiling=20))], WINDOW
    )
    acquire(store, Counter(token, 1), "b", WINDOW, NOW)
    assert store.leases.skipped_numbers(token, 1) == [
        NumberRange(3, 3),
        NumberRange(5, 6),
        NumberRange(8, 20),
    ]
    store.persistence.persist_messages([messages(token, message(5), message(10))], WINDOW)
    assert store.leases.skipped_numbers(token, 1) == [
        NumberRange(3, 3),
        NumberRange(6, 6),
        NumberRange(8, 9),
        NumberRange(11, 20),
    ]


def test_thousands_of_skipped_ranges_are_listed(store: Store, token: str) -> None:
    """Every second number of a chat arrived. Later some of the others arrive."""
    last = 2_401
    lease = replace(LEASE, ceiling=last)
    used = messages(token, *(message(n) for n in range(1, last + 1, 2)), lease=lease)
    store.persistence.persist_messages([used], WINDOW)
    acquire(store, Counter(token, 1), "b", WINDOW, NOW)
    late = set(range(4, last, 600))
    store.persistence.persist_messages([messages(token, *map(message, sorted(late)))], WINDOW)
    between = [NumberRange(n, n) for n in range(2, last, 2) if n not in late]
    above = NumberRange(last + 1, last + WINDOW)
    assert store.leases.skipped_numbers(token, 1) == [*between, above]


def test_skipped_ranges_that_touch_are_merged(store: Store, token: str) -> None:
    store.persistence.persist_messages([messages(token, message(1))], WINDOW)
    for holder in ("b", "c", "d"):
        acquire(store, Counter(token, 1), holder, WINDOW, NOW)
    assert store.leases.skipped_numbers(token, 1) == [NumberRange(2, 30)]


def test_a_deleted_message_is_not_skipped(store: Store, token: str) -> None:
    store.persistence.persist_messages([messages(token, message(1), deleted(2, 2))], WINDOW)
    acquire(store, Counter(token, 1), "b", WINDOW, NOW)
    assert store.leases.skipped_numbers(token, 1) == [NumberRange(3, 10)]


def test_a_chat_may_arrive_unless_it_was_skipped_long_ago(store: Store, token: str) -> None:
    assert not store.leases.chat_may_arrive(token, 1, None, LATER)
    acquire(store, Counter(token), "a", WINDOW, NOW)
    assert store.leases.chat_may_arrive(token, 10, None, LATER)
    assert not store.leases.chat_may_arrive(token, 11, None, LATER)
    assert not store.leases.chat_may_arrive(token, 4, IssuedUpTo("a", 1, 3), LATER)
    store.persistence.persist_chats([chats(token, chat(2))], WINDOW)
    acquire(store, Counter(token), "b", WINDOW, LATER)
    newest = IssuedUpTo("b", 2, 12)
    assert store.leases.chat_may_arrive(token, 5, newest, LATER)
    assert not store.leases.chat_may_arrive(token, 5, newest, MUCH_LATER)
    assert store.leases.chat_may_arrive(token, 12, newest, MUCH_LATER)
    assert not store.leases.chat_may_arrive("nobody", 1, newest, NOW)


@pytest.mark.parametrize(
    "older", [IssuedUpTo("a", 1, 3), IssuedUpTo("b", 1, 3), IssuedUpTo("a", 2, 3)]
)
def test_a_chat_that_another_incarnation_numbered_may_arrive(
    store: Store, token: str, older: IssuedUpTo
) -> None:
    acquire(store, Counter(token), "a", WINDOW, NOW)
    acquire(store, Counter(token), "b", WINDOW, NOW)
    assert store.leases.chat_may_arrive(token, 12, older, LATER)
    assert not store.leases.chat_may_arrive(token, 21, older, LATER)


# --- idempotency keys


def idempotency(
    key: str, fingerprint: str = "f", now_ms: int = 1_790_000_000_000
) -> IdempotentWrite:
    return IdempotentWrite("scope", IdempotencyKey(key, fingerprint), now_ms)


def new_key() -> str:
    return secrets.token_hex(8)


def test_a_change_stores_its_response_under_its_idempotency_key(store: Store) -> None:
    token, keys = secrets.token_hex(16), [idempotency(new_key()) for _ in range(3)]
    assert store.applications.find_response(keys[0]) is None
    made = store.applications.create_application(token, "a name", NOW, keys[0])
    renamed = store.applications.rename_application(token, "another", keys[1])
    assert store.applications.delete_application(token, LATER, keys[2])
    responses = [store.applications.find_response(key) for key in keys]
    assert [json.decode(a or b"", type=Application) for a in responses[:2]] == [made, renamed]
    assert responses[2] == b""
    assert store.applications.find_response(replace(keys[0], scope="another")) is None
    with pytest.raises(KeyReusedError):
        store.applications.find_response(
            replace(keys[0], key=replace(keys[0].key, fingerprint="g"))
        )


def test_a_second_change_with_a_key_changes_nothing(store: Store, token: str) -> None:
    key, other = idempotency(new_key()), secrets.token_hex(16)
    store.applications.rename_application(token, "first", key)
    with pytest.raises(InProgressError):
        store.applications.rename_application(token, "second", key)
    with pytest.raises(InProgressError):
        store.applications.create_application(other, "a name", NOW, key)
    with pytest.raises(InProgressError):
        store.applications.delete_application(token, NOW, key)
    application = store.applications.get_application(token)
    assert application is not None
    assert (application.name, store.applications.get_application(other)) == ("first", None)


def test_of_many_simultaneous_requests_with_one_key_one_creates(store: Store) -> None:
    key, tokens = idempotency(new_key()), [secrets.token_hex(16) for _ in range(8)]

    def create(token: str) -> bool:
        try:
            store.applications.create_application(token, "a name", NOW, key)
        except InProgressError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, tokens))
    assert sum(made) == 1
    assert [store.applications.get_application(token) is not None for token in tokens] == made


def test_a_change_that_did_not_happen_stores_no_response(store: Store) -> None:
    key = idempotency(new_key())
    assert store.applications.rename_application("nobody", "a name", key) is None
    assert not store.applications.delete_application("nobody", NOW, key)
    assert store.applications.find_response(key) is None


def test_a_response_is_stored_for_a_day_and_then_removed(store: Store, token: str) -> None:
    day, key = 24 * 3_600_000, idempotency(new_key())
    store.applications.rename_application(token, "first", key)
    assert store.applications.find_response(replace(key, now_ms=key.now_ms + day)) is not None
    later = replace(key, now_ms=key.now_ms + day + 1)
    assert store.applications.find_response(later) is None
    store.applications.rename_application(token, "second", later)
    store.applications.rename_application(token, "third", other := idempotency(new_key()))
    while store.applications.delete_responses(rfc3339(later.now_ms), 1):
        pass
    assert store.applications.find_response(other) is None
    assert store.applications.find_response(later) is not None


def test_many_leases_of_an_application_are_released_at_once(store: Store, token: str) -> None:
    numbers = range(1, 6)
    for number in numbers:
        store.persistence.persist_messages([messages(token, message(1), chat=number)], WINDOW)
    counters = [Counter(token), *(Counter(token, number) for number in numbers)]
    grants = {counter: acquire(store, counter, "a", WINDOW, NOW) for counter in counters}
    store.persistence.persist_chats([chats(token, chat(5, 9, deleted_at=NOW))], WINDOW)
    releasing = {
        counter: LeaseReleasing("a", grant.lease.epoch, grant.floor + 2)
        for counter, grant in grants.items()
        if grant
    }
    releasing[counters[2]] = LeaseReleasing("another", 2, 1)
    releasing[Counter(token, 77)] = LeaseReleasing("a", 2, 1)
    store.leases.release_leases(releasing)
    floors = {}
    for counter in counters[:-1]:
        again = acquire(store, counter, "b", WINDOW, NOW)
        grant = grants[counter]
        assert again
        assert grant
        floors[counter] = again.floor - grant.floor
    assert floors == {counter: WINDOW if counter == counters[2] else 2 for counter in counters[:-1]}


def test_revisions_of_many_counters_of_an_application_are_read_at_once(
    store: Store, token: str
) -> None:
    for number in (1, 2):
        versions = [message(n, n + number) for n in (1, 2, 3)]
        store.persistence.persist_messages([messages(token, *versions, chat=number)], WINDOW)
    store.persistence.persist_chats([chats(token, chat(1, 9), chat(3, 4))], WINDOW)
    first, second, missing = (Counter(token, number) for number in (1, 2, 9))
    wanted = {Counter(token): [1, 2, 3, 4], first: [1, 3, 9], second: [2], missing: [1]}
    assert store.messages.revisions(wanted) == {
        Counter(token): {1: 9, 3: 4},
        first: {1: 2, 3: 4},
        second: {2: 4},
        missing: {},
    }
    assert store.messages.revisions({}) == {}


# --- purge


def purged_of(store: Store, token: str, before: str, rows: int = 3) -> list[int | None]:
    """Purge everything. Returns the chat numbers that were returned for this application."""
    return [item.chat for item in purge_all(store, before, rows) if item.token == token]


def is_purgeable(store: Store, token: str, before: str) -> bool:
    after, is_end, tokens = 0, False, []
    while not is_end:
        listed, after, is_end = store.purge.list_purgeable(after, before)
        tokens += [application.token for application in listed]
    return token in tokens


def test_a_deleted_chat_is_emptied_and_returned_once_it_is_due(store: Store, token: str) -> None:
    for number in (1, 2):
        versions = [message(n) for n in range(1, 8)]
        store.persistence.persist_messages([messages(token, *versions, chat=number)], WINDOW)
    store.persistence.persist_chats([chats(token, chat(1, 9, deleted_at=LATER))], WINDOW)
    assert not is_purgeable(store, token, LATER)
    assert purged_of(store, token, LATER) == []
    assert stored_revisions(store, Counter(token, 1), [1, 7]) == {1: 1, 7: 1}
    assert is_purgeable(store, token, MUCH_LATER)
    emptied, is_done = store.purge.remove_rows(token, MUCH_LATER, 3)
    assert (emptied, is_done) == ([], False)
    for _ in range(2):
        emptied, is_done = store.purge.remove_rows(token, MUCH_LATER, 8)
    assert (emptied, is_done) == ([PurgedItem(token, 1)], True)
    assert purged_of(store, token, MUCH_LATER) == [1]  # again, because nobody confirmed
    assert purged_of(store, token, MUCH_LATER) == []
    assert not is_purgeable(store, token, MUCH_LATER)
    assert counts(store, token, 2) == (7, 7)
    store.persistence.persist_chats([chats(token, chat(1, 99, title="back"))], WINDOW)
    assert chats_count(store, token) == 1


def test_many_deleted_chats_are_purged_in_few_steps(store: Store, token: str) -> None:
    numbers = range(1, 251)
    for number in numbers:
        record = messages(token, message(1), message(2), chat=number)
        store.persistence.persist_messages([record], WINDOW)
    versions = [chat(number, 9, deleted_at=LATER) for number in numbers]
    store.persistence.persist_chats([chats(token, *versions)], WINDOW)
    assert sorted(purged_of(store, token, MUCH_LATER, 500)) == list(numbers)
    assert stored_revisions(store, Counter(token, 250), [1, 2]) == {}


def test_a_deleted_application_is_purged_completely(store: Store, token: str) -> None:
    for number in (1, 2):
        store.persistence.persist_messages([messages(token, message(1), chat=number)], WINDOW)
    store.persistence.persist_chats([chats(token, chat(1, 9, deleted_at=NOW))], WINDOW)
    acquire(store, Counter(token, 2), "b", WINDOW, NOW)
    store.applications.delete_application(token, LATER)
    assert purged_of(store, token, LATER) == []
    with pytest.raises(GoneError):
        acquire(store, Counter(token), "a", WINDOW, NOW)
    assert purged_of(store, token, MUCH_LATER) == [None]
    assert acquire(store, Counter(token), "a", WINDOW, NOW) is None
    assert store.purge.remove_rows(token, MUCH_LATER, 3) == PurgeStep([], is_done=True)


# --- rounds


def test_a_round_continues_where_it_was_saved(store: Store) -> None:
    task = secrets.token_hex(8)
    assert store.rounds.get_round(task) == RoundState()
    for state in (RoundState(7, 1_790_000_000_000), RoundState(9), RoundState()):
        store.rounds.save_round(task, state)
        assert store.rounds.get_round(task) == state


# --- poison


def test_content_too_long_for_its_column_is_poison_and_its_batch_is_not_stored(
    store: Store, token: str
) -> None:
    with pytest.raises(PoisonError):
        store.persistence.persist_messages(
            [messages(token, message(1), message(2, sender="x" * 256))], WINDOW
        )
    assert store.chats.get_chat(token, 1) is None
    with pytest.raises(PoisonError):
        store.persistence.persist_chats([chats(token, chat(1, 1, title="x" * 256))], WINDOW)
    assert chats_count(store, token) == 0


# --- simultaneous calls


def test_simultaneous_workers_on_the_same_chats_lose_nothing_and_count_exactly(
    store: Store, token: str
) -> None:
    lease = replace(LEASE, ceiling=1000)
    records = [
        messages(token, *(message(n) for n in range(first, first + 5)), chat=number, lease=lease)
        for first in range(1, 101, 5)
        for number in (1, 2, 3, 4)
    ]
    versions = [chats(token, chat(number, 1, title="t")) for number in (1, 2, 3, 4)]

    def work(turn: int) -> None:
        scoped_to_user = (
            records[turn::4] + records[(turn + 1) % 4 :: 4]
        )  # each record twice, by two workers
        for start in range(0, len(scoped_to_user), 7):
            store.persistence.persist_messages(
                scoped_to_user[start : start + 7][:: -1 if turn % 2 else 1], 1000
            )
            store.persistence.persist_chats(versions[:: 1 if turn % 2 else -1], 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert [counts(store, token, number) for number in (1, 2, 3, 4)] == [(100, 100)] * 4
    assert chats_count(store, token) == 4


def test_a_new_chat_that_requests_and_workers_find_without_a_row_is_counted_once(
    store: Store, token: str
) -> None:
    first = replace(LEASE, ceiling=10)
    numbers = range(1, 9)

    def extend(turn: int) -> list[Lease | None]:
        order = sorted(numbers, key=lambda number: (number + turn) % 8)
        counters = [Counter(token, number) for number in order]
        return [store.leases.extend_lease(counter, first, 1000, NOW) for counter in counters]

    def persist(turn: int) -> None:
        for number in numbers:
            if turn % 2:
                record = messages(token, message(1), chat=number, lease=first)
                store.persistence.persist_messages([record], 10)
            else:
                record = chats(token, chat(number, messages_lease=first))
                store.persistence.persist_chats([record], 10)

    with ThreadPoolExecutor(6) as pool:
        workers = [pool.submit(persist, turn) for turn in range(2)]
        extended = [pool.submit(extend, turn) for turn in range(4)]
        assert all(None not in leases.result() for leases in extended)
        assert [worker.result() for worker in workers] == [None, None]
    assert [counts(store, token, number) for number in numbers] == [(1, 1)] * 8
    assert chats_count(store, token) == 8


def test_two_callers_that_acquire_at_once_get_separate_ranges(store: Store, token: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        grants = list(
            pool.map(lambda n: acquire(store, Counter(token), f"m{n}", 10, NOW), range(12))
        )
    granted = [grant for grant in grants if grant is not None]
    floors = sorted(grant.floor for grant in granted)
    assert floors == list(range(0, 120, 10))
    assert sorted(grant.lease.epoch for grant in granted) == list(range(1, 13))
