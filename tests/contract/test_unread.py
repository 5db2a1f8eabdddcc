"""What every store promises of read markers and of unread counts, on the fake and on real servers."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnreadCount
from chalicelib.usecases.ports import Store
from tests.contract.databases import SERVERS, migrated_database
from tests.contract.factories import LEASE, NOW, acquire, chat, chats, deleted, message, messages
from tests.fakes.store import FakeStore

WINDOW = 10
ALL = PageRequest(limit=1000)
FAR = 10**6


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


def new_application(store: Store) -> str:
    return store.applications.create_application(secrets.token_hex(16), "an application", NOW).token


def move(store: Store, token: str, user: str, number: int, chat: int = 1, pending: int = 0) -> int:
    """Move a marker. Returns its number afterwards."""
    store.read_markers.mark_read(token, user, ReadMarker(chat, number), pending)
    markers = {
        marker.chat: marker.number
        for marker in store.read_markers.list_read_markers(token, user, ALL, 1000)
    }
    return markers[chat]


def reading(
    store: Store, token: str, marker: int = 0, unpersisted: UnpersistedChat | None = None
) -> UnreadCount:
    [count] = store.read_markers.count_unread(
        token, [ReadMarker(1, marker)], {1: unpersisted or UnpersistedChat()}
    )
    return count


def unread(
    store: Store, token: str, marker: int = 0, unpersisted: UnpersistedChat | None = None
) -> int:
    return reading(store, token, marker, unpersisted).unread


def persist(store: Store, token: str, *versions: Message, chat: int = 1) -> None:
    lease = replace(LEASE, ceiling=100)
    store.persistence.persist_messages([messages(token, *versions, chat=chat, lease=lease)], WINDOW)


def post(store: Store, token: str, *numbers: int, chat: int = 1) -> None:
    persist(store, token, *map(message, numbers), chat=chat)


# --- read markers


def test_a_marker_moves_forward_only(store: Store, token: str) -> None:
    post(store, token, *range(1, 8))
    assert [move(store, token, "ann", number) for number in (3, 2, 3, 5, 0)] == [3, 3, 3, 5, 5]


def test_a_marker_stays_at_the_last_number_that_is_stored_or_pending(
    store: Store, token: str
) -> None:
    post(store, token, 1, 2, 3)
    assert move(store, token, "ann", FAR) == 3
    assert move(store, token, "ann", FAR, pending=2) == 3
    assert move(store, token, "ann", FAR, pending=7) == 7


def test_a_marker_can_be_set_before_its_chat_is_stored(store: Store, token: str) -> None:
    assert move(store, token, "ann", 5, chat=9, pending=4) == 4
    post(store, token, *range(1, 5), chat=9)
    assert store.read_markers.list_read_markers(token, "ann", ALL, 10) == [ReadMarker(9, 4)]


def test_a_marker_at_zero_is_a_marker(store: Store, token: str) -> None:
    assert move(store, token, "ann", 0) == 0


def test_users_differ_if_one_character_differs(store: Store, token: str) -> None:
    post(store, token, *range(1, 12))
    names = ["ann", "ANN", "änn", "a\u0308nn", "ann ", " ann", "🦊" * 255, "%", "_", "'", "\\"]
    for number, name in enumerate(names, 1):
        assert move(store, token, name, number) == number
    numbers = [
        store.read_markers.list_read_markers(token, name, ALL, 10)[0].number for name in names
    ]
    assert numbers == list(range(1, len(names) + 1))
    assert store.read_markers.list_read_markers(token, "nobody", ALL, 10) == []


def test_markers_are_listed_by_chat_and_page(store: Store, token: str) -> None:
    other = new_application(store)
    for number in range(1, 8):
        post(store, token, 1, chat=number)
        move(store, token, "ann", 1, chat=number)
        move(store, other, "ann", 1, chat=number)
    move(store, token, "bob", 1, chat=2)

    def listed(page: PageRequest, limit: int = 10) -> list[int]:
        return [
            marker.chat
            for marker in store.read_markers.list_read_markers(token, "ann", page, limit)
        ]

    assert listed(ALL) == [7, 6, 5, 4, 3, 2, 1]
    assert listed(PageRequest(limit=2, before=5), 2) == [4, 3]
    assert listed(PageRequest(limit=2, after=5)) == [6, 7]
    assert listed(PageRequest(limit=2, after=1, before=4)) == [2, 3]
    store.persistence.persist_chats([chats(token, chat(6, 9, deleted_at=NOW))], WINDOW)
    assert listed(ALL) == [7, 5, 4, 3, 2, 1]


def test_no_marker_is_set_in_a_deleted_chat_or_application(store: Store, token: str) -> None:
    store.persistence.persist_chats([chats(token, chat(1, 2, deleted_at=NOW))], WINDOW)
    store.read_markers.mark_read(token, "ann", ReadMarker(1, 3), 5)
    assert store.read_markers.list_read_markers(token, "ann", ALL, 10) == []
    assert move(store, token, "ann", 1, chat=2, pending=1) == 1
    store.applications.delete_application(token, NOW)
    for owner in (token, "nobody"):
        store.read_markers.mark_read(owner, "ann", ReadMarker(2, 2), 5)
        assert store.read_markers.list_read_markers(owner, "ann", ALL, 10) == []


def test_of_many_simultaneous_requests_the_highest_number_wins(store: Store, token: str) -> None:
    post(store, token, *range(1, 41))

    def idempotency(number: int) -> None:
        store.read_markers.mark_read(token, "ann", ReadMarker(1, number), 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(idempotency, [n * 17 % 41 for n in range(1, 41)]))
    assert store.read_markers.list_read_markers(token, "ann", ALL, 10) == [ReadMarker(1, 40)]


# --- unread counts


def test_messages_above_the_marker_are_unread(store: Store, token: str) -> None:
    post(store, token, *range(1, 8))
    assert reading(store, token, 3) == UnreadCount(1, 3, 4, 7)
    assert reading(store, token, 7) == UnreadCount(1, 7, 0, 7)
    assert reading(store, token) == UnreadCount(1, 0, 7, 7)


def test_a_marker_from_before_redis_was_lost_proves_its_number(store: Store, token: str) -> None:
    post(store, token, 1, 2, 3)
    assert reading(store, token, 5) == UnreadCount(1, 5, 0, 5)


def test_pending_messages_are_unread(store: Store, token: str) -> None:
    post(store, token, 1, 2, 3)
    assert reading(store, token, 1, UnpersistedChat(known=True, last=6)) == UnreadCount(1, 1, 5, 6)
    assert reading(store, token, 1, UnpersistedChat(known=True, last=2)) == UnreadCount(1, 1, 2, 3)


def test_markers_in_chats_that_do_not_exist_are_left_out(store: Store, token: str) -> None:
    post(store, token, 1, 2, chat=1)
    post(store, token, 1, 2, chat=2)
    post(store, token, 1, 2, chat=3)
    store.persistence.persist_chats([chats(token, chat(2, 9, deleted_at=NOW))], WINDOW)
    unpersisted = {
        1: UnpersistedChat(),
        2: UnpersistedChat(known=True),
        3: UnpersistedChat(gone=True),
        4: UnpersistedChat(known=True, last=3, deletions=(2,)),
        5: UnpersistedChat(),
    }
    markers = [ReadMarker(number, 0) for number in (5, 4, 3, 2, 1)]
    assert store.read_markers.count_unread(token, markers, unpersisted) == [
        UnreadCount(4, 0, 2, 3),
        UnreadCount(1, 0, 2, 2),
    ]
    assert store.read_markers.count_unread(token, [], {}) == []


def test_a_deletion_counts_once_whether_it_is_pending_or_stored_or_both(
    store: Store, token: str
) -> None:
    post(store, token, *range(1, 8))
    pending = UnpersistedChat(known=True, deletions=(2, 5, 6))
    assert unread(store, token) == 7
    assert unread(store, token, 0, pending) == 4
    assert unread(store, token, 3, pending) == 2
    persist(store, token, deleted(5, 2), deleted(1, 2))
    assert unread(store, token) == 5
    assert unread(store, token, 0, pending) == 3
    assert unread(store, token, 3, pending) == 2
    assert unread(store, token, 6, pending) == 1


def test_a_pending_message_whose_deletion_is_pending_is_not_unread(
    store: Store, token: str
) -> None:
    post(store, token, 1)
    assert unread(store, token, 0, UnpersistedChat(known=True, last=4, deletions=(3,))) == 3


VERSIONS = [message(1, 1), message(1, 2), deleted(1, 3), message(2, 4)]


def test_every_order_of_create_edit_and_delete_counts_the_same(store: Store) -> None:
    for order in permutations(VERSIONS):
        token = new_application(store)
        for version in (*order, *order[:2]):
            persist(store, token, version)
        assert reading(store, token) == UnreadCount(1, 0, 1, 2)


def test_a_version_newer_than_a_deletion_is_unread_again(store: Store, token: str) -> None:
    for version, expected in [
        (deleted(1, 5), 0),
        (message(1, 4), 0),
        (message(1, 6), 1),
        (message(1, 7), 1),
        (deleted(1, 5), 1),
        (deleted(1, 8), 0),
        (deleted(1, 9), 0),
    ]:
        persist(store, token, version)
        assert unread(store, token) == expected


def test_a_skipped_number_is_not_unread_until_its_message_arrives(store: Store, token: str) -> None:
    post(store, token, 1, 2, 4, 7)
    acquire(store, Counter(token, 1), "b", WINDOW, NOW)  # 3, 5, 6 and 8 to 100 are skipped
    assert reading(store, token) == UnreadCount(1, 0, 4, 7)
    post(store, token, 101, 102)
    assert reading(store, token) == UnreadCount(1, 0, 6, 102)
    assert unread(store, token, 5) == 3
    post(store, token, 5, 50)
    persist(store, token, deleted(6, 2), deleted(60, 2))
    assert unread(store, token) == 8
    assert unread(store, token, 5) == 4
    assert unread(store, token, 50) == 2
    assert unread(store, token, 55, UnpersistedChat(known=True, last=110, deletions=(60, 102))) == 9


def test_thousands_of_skipped_ranges_are_not_unread(store: Store, token: str) -> None:
    """Every second number up to 2,401 arrived. Later 4 and 2,400 arrive as well."""
    last = 2_401
    lease = replace(LEASE, ceiling=last)
    used = messages(token, *(message(n) for n in range(1, last + 1, 2)), lease=lease)
    store.persistence.persist_messages([used], WINDOW)
    acquire(store, Counter(token, 1), "b", WINDOW, NOW)
    assert unread(store, token) == 1_201
    post(store, token, 4, 2_400)
    assert unread(store, token) == 1_203
    assert unread(store, token, 2_000) == 202


def test_a_deletion_of_a_skipped_number_counts_once(store: Store, token: str) -> None:
    post(store, token, 1, 2)
    acquire(store, Counter(token, 1), "b", WINDOW, NOW)
    post(store, token, 101)
    assert unread(store, token, 0, UnpersistedChat(known=True, deletions=(50,))) == 3


STEPS = st.one_of(
    st.tuples(st.sampled_from(["create", "edit", "delete"]), st.integers(1, 14)),
    st.tuples(st.just("acquire"), st.just(0)),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=20),
    pending=st.integers(0, 20),
    deletions=st.sets(st.integers(1, 20), max_size=4),
)
def test_every_marker_counts_what_exists_in_any_order_of_arrival(
    store: Store, steps: list[tuple[str, int]], pending: int, deletions: set[int]
) -> None:
    token = new_application(store)
    newest: dict[int, Message] = {}
    skipped_numbers: set[int] = set()
    revisions = {"create": 1, "edit": 3, "delete": 2}
    post(store, token, 1)
    newest[1] = message(1)
    for holder, (action, number) in enumerate(steps):
        if action == "acquire":
            grant = acquire(store, Counter(token, 1), str(holder), 5, NOW)
            assert grant is not None
            skipped_numbers |= set(range(1, grant.floor + 1)) - set(newest)
            continue
        version = (deleted if action == "delete" else message)(number, revisions[action])
        store.persistence.persist_messages(
            [messages(token, version, lease=replace(LEASE, ceiling=14))], 5
        )
        newest[number] = max(version, newest.get(number, version), key=lambda other: other.revision)
    last = max(pending, *newest)
    gone = {n for n, version in newest.items() if version.deleted_at} | (
        skipped_numbers - set(newest)
    )
    existing = set(range(1, last + 1)) - gone - deletions
    unpersisted = UnpersistedChat(
        known=True, last=pending, deletions=tuple(n for n in deletions if n <= last)
    )
    expected = [
        UnreadCount(1, marker, sum(number > marker for number in existing), last)
        for marker in range(last + 1)
    ]
    markers = [ReadMarker(1, marker) for marker in range(last + 1)]
    assert store.read_markers.count_unread(token, markers, {1: unpersisted}) == expected
