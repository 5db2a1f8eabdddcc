"""Read markers and unread counts: the arithmetic, and the counts that users see at every moment."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import GoneError, NotFoundError, UnauthenticatedError
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnreadCount, unread_window
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.read import get_chat
from chalicelib.usecases.read_markers import get_read_marker, list_read_markers, mark_read
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
FAR = 10**6


def new_chat(ports: FakePorts, tenant: Tenant) -> int:
    return create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW)).value.number


def post(ports: FakePorts, tenant: Tenant, chat: int, count: int = 1) -> int:
    """Create messages and return the last number."""
    drafts = [Message(number=0, revision=0, body="x", created_at=NOW)] * count
    return create_messages(ports, tenant, chat, drafts).value.last


def delete(ports: FakePorts, tenant: Tenant, chat: int, number: int) -> None:
    edit_message(ports, tenant, chat, number, lambda m: replace(m, body="", deleted_at=NOW))


# --- the arithmetic

NUMBERS = st.sets(st.integers(1, 30), max_size=12)


@given(marker=st.integers(0, 30), stored=NUMBERS, gone=NUMBERS, passed=NUMBERS, pending=NUMBERS)
def test_a_window_counts_the_same_as_checking_every_number(
    marker: int, stored: set[int], gone: set[int], passed: set[int], pending: set[int]
) -> None:
    last = max([0, *stored])
    deletions = {n for n in pending if n <= last}
    rows = set(range(1, last + 1)) - (passed - stored)
    window = unread_window(
        ReadMarker(1, marker),
        last,
        [NumberRange(n, n) for n in sorted(passed)],
        UnpersistedChat(known=True, deletions=tuple(deletions)),
    )
    deleted = {n for n in gone & rows if marker < n <= window.last}
    skipped = {n for run in window.skipped for n in range(run.first, run.last + 1)}
    result = window.count(len(deleted), len(deleted & deletions), len(skipped & rows))
    existing = rows - gone - deletions
    assert result.unread == sum(n > marker for n in existing)
    assert result.last == max(marker, last)


# --- one chat

STEPS = st.one_of(
    st.tuples(st.just("post"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["delete", "mark"]), st.integers(1, 25)),
    st.tuples(st.sampled_from(["persist", "lose"]), st.just(0)),
)


@given(st.lists(STEPS, max_size=30))
def test_unread_is_right_at_every_moment_whatever_was_persisted_deleted_or_lost(
    steps: list[tuple[str, int]],
) -> None:
    ports, tenant = FakePorts(), Tenant("0123456789abcdef0123456789abcd", 1)
    ports.store.applications.create_application(tenant.token, "x", NOW)
    new_chat(ports, tenant)
    ports.persist()
    existing: set[int] = set()
    marker = last = 0
    for what, n in steps:
        if what == "post":
            last = post(ports, tenant, 1, n)
            existing |= set(range(last - n + 1, last + 1))
        elif what == "delete" and n in existing:
            delete(ports, tenant, 1, n)
            existing.remove(n)
        elif what == "mark":
            marker = max(marker, min(n, last))
            assert mark_read(ports, tenant, "ann", 1, n).value.number == marker
        elif what == "persist":
            ports.persist()
        elif what == "lose":
            ports.persist()  # so that nothing that was accepted is lost
            ports.sequencer.wipe()
        expected = UnreadCount(1, marker, sum(number > marker for number in existing), last)
        assert get_read_marker(ports, tenant, "ann", 1).value == expected
        assert get_read_marker(ports, tenant, "bob", 1).value.unread == len(existing)
        assert list_read_markers(ports, tenant, "ann", PageRequest(limit=5)).value.items in (
            (),
            (expected,),
        )


def test_a_message_that_a_wiped_redis_accepted_is_unread_once_it_arrives(
    ports: FakePorts, tenant: Tenant
) -> None:
    new_chat(ports, tenant)
    ports.persist()
    post(ports, tenant, 1, 2)
    ports.persist()
    post(ports, tenant, 1)
    ports.sequencer.wipe()
    assert get_read_marker(ports, tenant, "ann", 1).value.unread == 2
    last = post(ports, tenant, 1)
    assert last > 4
    assert get_read_marker(ports, tenant, "ann", 1).value == UnreadCount(1, 0, 3, last)
    ports.persist()
    assert get_read_marker(ports, tenant, "ann", 1).value == UnreadCount(1, 0, 4, last)


def test_a_marker_above_the_last_message_is_set_to_it(ports: FakePorts, tenant: Tenant) -> None:
    new_chat(ports, tenant)
    assert mark_read(ports, tenant, "ann", 1, FAR).value == UnreadCount(1, 0, 0, 0)
    post(ports, tenant, 1, 3)
    assert mark_read(ports, tenant, "ann", 1, FAR).value == UnreadCount(1, 3, 0, 3)
    assert mark_read(ports, tenant, "ann", 1, 1).value == UnreadCount(1, 3, 0, 3)


def test_a_missing_chat_has_no_read_markers(ports: FakePorts, tenant: Tenant) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError):
            get_read_marker(ports, tenant, "ann", 1)
        with pytest.raises(NotFoundError):
            mark_read(ports, tenant, "ann", 1, 1)
        ports.persist()


def test_a_deleted_chat_has_no_read_markers_before_and_after_it_is_persisted(
    ports: FakePorts, tenant: Tenant
) -> None:
    for _ in range(2):
        new_chat(ports, tenant)
        mark_read(ports, tenant, "ann", 1, 0)
    edit_chat(ports, tenant, 1, lambda c: replace(c, deleted_at=NOW))
    for step in (ports.persist, ports.sequencer.wipe, lambda: None):
        with pytest.raises(GoneError):
            get_read_marker(ports, tenant, "ann", 1)
        with pytest.raises(GoneError):
            mark_read(ports, tenant, "ann", 1, 1)
        assert list_read_markers(ports, tenant, "ann", PageRequest(limit=5)).value.items == ()
        step()


# --- all chats


def test_all_chats_of_a_user_are_listed_newest_first_page_by_page(
    ports: FakePorts, tenant: Tenant
) -> None:
    for number in range(1, 8):
        assert new_chat(ports, tenant) == number
        post(ports, tenant, number, number)
        if number != 4:
            mark_read(ports, tenant, "ann", number, 1)
        if number == 5:
            ports.persist()
    edit_chat(ports, tenant, 6, lambda c: replace(c, deleted_at=NOW))
    counts: list[UnreadCount] = []
    page: PageRequest | None = PageRequest(limit=2)
    while page:
        listed = list_read_markers(ports, tenant, "ann", page).value
        counts += listed.items
        page = PageRequest(limit=2, before=listed.next_cursor) if listed.next_cursor else None
    assert counts == [UnreadCount(n, 1, n - 1, n) for n in (7, 5, 3, 2, 1)]
    upwards = list_read_markers(ports, tenant, "ann", PageRequest(limit=9, after=2)).value
    assert [marker.chat for marker in upwards.items] == [3, 5, 7]
    assert list_read_markers(ports, tenant, "bob", page or PageRequest(limit=2)).value.items == ()


def test_an_invalid_key_is_refused_also_if_there_is_nothing_to_list(
    ports: FakePorts, tenant: Tenant
) -> None:
    get = PageRequest(limit=5)
    list_read_markers(ports, tenant, "ann", get)
    with pytest.raises(UnauthenticatedError):
        list_read_markers(ports, Tenant(tenant.token, 2), "ann", get)


def test_without_a_marker_every_message_is_unread(ports: FakePorts, tenant: Tenant) -> None:
    new_chat(ports, tenant)
    post(ports, tenant, 1, 5)
    delete(ports, tenant, 1, 2)
    ports.persist()
    row = get_chat(ports, tenant, 1).value.row
    assert get_read_marker(ports, tenant, "ann", 1).value.unread == row.messages_count == 4


@pytest.mark.parametrize("deleted", ["chat", "application"])
def test_a_chat_or_application_deleted_during_the_request_has_no_marker(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    chat = new_chat(ports, tenant)
    post(ports, tenant, chat)
    ports.persist()
    move_marker = ports.store.read_markers.mark_read

    def delete_first(*args: Any) -> None:
        if deleted == "chat":
            edit_chat(ports, tenant, chat, lambda c: replace(c, deleted_at=NOW))
            ports.persist()
        else:
            ports.store.applications.delete_application(tenant.token, NOW)
        move_marker(*args)

    monkeypatch.setattr(ports.store.read_markers, "mark_read", delete_first)
    with pytest.raises(GoneError):
        mark_read(ports, tenant, "ann", chat, 1)
