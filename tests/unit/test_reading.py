"""Markers and unread counts: the arithmetic, and what users see at every moment."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import GoneError, NotFoundError, UnauthenticatedError
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.number_ranges import Numbers
from chalicelib.domain.paging import Page
from chalicelib.domain.unread import Ahead, Marker, Reading, span
from chalicelib.usecases.accept import accept_chat, accept_messages
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.read import get_chat
from chalicelib.usecases.read_markers import count_unread, list_unread, mark_read
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
FAR = 10**6


def new_chat(world: FakeWorld, tenant: Tenant) -> int:
    return accept_chat(world, tenant, Chat(number=0, revision=0, created_at=NOW)).first


def post(world: FakeWorld, tenant: Tenant, chat: int, count: int = 1) -> int:
    """The last number."""
    drafts = [Message(number=0, revision=0, body="x", created_at=NOW)] * count
    return accept_messages(world, tenant, chat, drafts).last


def delete(world: FakeWorld, tenant: Tenant, chat: int, number: int) -> None:
    edit_message(world, tenant, chat, number, lambda m: replace(m, body="", deleted_at=NOW))


# --- the arithmetic

NUMBERS = st.sets(st.integers(1, 30), max_size=12)


@given(marker=st.integers(0, 30), stored=NUMBERS, gone=NUMBERS, passed=NUMBERS, pending=NUMBERS)
def test_a_span_counts_as_one_who_looks_at_every_number(
    marker: int, stored: set[int], gone: set[int], passed: set[int], pending: set[int]
) -> None:
    last = max([0, *stored])
    deletions = {n for n in pending if n <= last}
    rows = set(range(1, last + 1)) - (passed - stored)
    one = span(
        Marker(1, marker),
        last,
        [Numbers(n, n) for n in sorted(passed)],
        Ahead(known=True, deletions=tuple(deletions)),
    )
    deleted = {n for n in gone & rows if marker < n <= one.last}
    held = {n for gap in one.gaps for n in range(gap.first, gap.last + 1)}
    reading = one.reading(len(deleted), len(deleted & deletions), len(held & rows))
    there = rows - gone - deletions
    assert reading.unread == sum(n > marker for n in there)
    assert reading.last == max(marker, last)


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
    world, tenant = FakeWorld(), Tenant("0123456789abcdef0123456789abcd", 1)
    world.store.create_application(tenant.token, "x", NOW)
    new_chat(world, tenant)
    world.persist()
    there: set[int] = set()
    marker = last = 0
    for what, n in steps:
        if what == "post":
            last = post(world, tenant, 1, n)
            there |= set(range(last - n + 1, last + 1))
        elif what == "delete" and n in there:
            delete(world, tenant, 1, n)
            there.remove(n)
        elif what == "mark":
            marker = max(marker, min(n, last))
            assert mark_read(world, tenant, "ann", 1, n).number == marker
        elif what == "persist":
            world.persist()
        elif what == "lose":
            world.persist()  # so that everything that was accepted is there
            world.ledger.wipe()
        expected = Reading(1, marker, sum(number > marker for number in there), last)
        assert count_unread(world, tenant, "ann", 1) == expected
        assert count_unread(world, tenant, "bob", 1).unread == len(there)
        assert list_unread(world, tenant, "ann", Page(limit=5)).items in ((), (expected,))


def test_what_lost_memory_had_accepted_is_unread_once_it_arrives(
    world: FakeWorld, tenant: Tenant
) -> None:
    new_chat(world, tenant)
    world.persist()
    post(world, tenant, 1, 2)
    world.persist()
    post(world, tenant, 1)
    world.ledger.wipe()
    assert count_unread(world, tenant, "ann", 1).unread == 2
    last = post(world, tenant, 1)
    assert last > 4
    assert count_unread(world, tenant, "ann", 1) == Reading(1, 0, 3, last)
    world.persist()
    assert count_unread(world, tenant, "ann", 1) == Reading(1, 0, 4, last)


def test_a_marker_above_the_last_message_is_taken_down_to_it(
    world: FakeWorld, tenant: Tenant
) -> None:
    new_chat(world, tenant)
    assert mark_read(world, tenant, "ann", 1, FAR) == Reading(1, 0, 0, 0)
    post(world, tenant, 1, 3)
    assert mark_read(world, tenant, "ann", 1, FAR) == Reading(1, 3, 0, 3)
    assert mark_read(world, tenant, "ann", 1, 1) == Reading(1, 3, 0, 3)


def test_a_chat_that_is_not_there_has_no_readers(world: FakeWorld, tenant: Tenant) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError):
            count_unread(world, tenant, "ann", 1)
        with pytest.raises(NotFoundError):
            mark_read(world, tenant, "ann", 1, 1)
        world.persist()


def test_a_deleted_chat_has_no_readers_whoever_knows_of_it(
    world: FakeWorld, tenant: Tenant
) -> None:
    for _ in range(2):
        new_chat(world, tenant)
        mark_read(world, tenant, "ann", 1, 0)
    edit_chat(world, tenant, 1, lambda c: replace(c, deleted_at=NOW))
    for step in (world.persist, world.ledger.wipe, lambda: None):
        with pytest.raises(GoneError):
            count_unread(world, tenant, "ann", 1)
        with pytest.raises(GoneError):
            mark_read(world, tenant, "ann", 1, 1)
        assert list_unread(world, tenant, "ann", Page(limit=5)).items == ()
        step()


# --- all chats


def test_all_chats_of_a_user_are_listed_newest_first_page_by_page(
    world: FakeWorld, tenant: Tenant
) -> None:
    for number in range(1, 8):
        assert new_chat(world, tenant) == number
        post(world, tenant, number, number)
        if number != 4:
            mark_read(world, tenant, "ann", number, 1)
        if number == 5:
            world.persist()
    edit_chat(world, tenant, 6, lambda c: replace(c, deleted_at=NOW))
    found: list[Reading] = []
    page: Page | None = Page(limit=2)
    while page:
        listed = list_unread(world, tenant, "ann", page)
        found += listed.items
        page = Page(limit=2, before=listed.more_from) if listed.more_from else None
    assert found == [Reading(n, 1, n - 1, n) for n in (7, 5, 3, 2, 1)]
    upwards = list_unread(world, tenant, "ann", Page(limit=9, after=2))
    assert [reading.chat for reading in upwards.items] == [3, 5, 7]
    assert list_unread(world, tenant, "bob", page or Page(limit=2)).items == ()


def test_a_key_that_is_no_longer_valid_is_refused_also_where_there_is_nothing_to_list(
    world: FakeWorld, tenant: Tenant
) -> None:
    get = Page(limit=5)
    list_unread(world, tenant, "ann", get)
    with pytest.raises(UnauthenticatedError):
        list_unread(world, Tenant(tenant.token, 2), "ann", get)


def test_without_a_marker_everything_that_is_there_is_unread(
    world: FakeWorld, tenant: Tenant
) -> None:
    new_chat(world, tenant)
    post(world, tenant, 1, 5)
    delete(world, tenant, 1, 2)
    world.persist()
    row, _ = get_chat(world, tenant, 1)
    assert count_unread(world, tenant, "ann", 1).unread == row.messages_count == 4


@pytest.mark.parametrize("deleted", ["chat", "application"])
def test_what_is_deleted_meanwhile_has_no_marker(
    world: FakeWorld, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    chat = new_chat(world, tenant)
    post(world, tenant, chat)
    world.persist()
    move_marker = world.store.move_marker

    def delete_first(*args: Any) -> None:
        if deleted == "chat":
            edit_chat(world, tenant, chat, lambda c: replace(c, deleted_at=NOW))
            world.persist()
        else:
            world.store.delete_application(tenant.token, NOW)
        move_marker(*args)

    monkeypatch.setattr(world.store, "move_marker", delete_first)
    with pytest.raises(GoneError):
        mark_read(world, tenant, "ann", chat, 1)
