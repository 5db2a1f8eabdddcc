"""Pages merge pending and stored items. A scan over them has no gap and no duplicate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.limits import MAX_BODY_CHARS
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.read import list_chats, list_messages
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
STEP = st.one_of(
    st.tuples(st.just("post"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["edit", "delete"]), st.integers(1, 20)),
    st.tuples(st.just("persist"), st.just(0)),
)


def run(ports: FakePorts, tenant: Tenant, steps: list[tuple[str, int]]) -> dict[int, str]:
    """Take the steps. Return the messages that must exist."""
    model: dict[int, str] = {}
    for i, (what, n) in enumerate(steps):
        if what == "persist":
            ports.persist()
        elif what == "post":
            draft = Message(number=0, revision=0, body=str(i), created_at=NOW)
            for _ in range(n):
                model[create_messages(ports, tenant, 1, [draft]).value.first] = str(i)
        elif n in model and what == "edit":
            edit_message(ports, tenant, 1, n, lambda m, i=i: replace(m, body=f"e{i}"))  # type: ignore[misc]
            model[n] = f"e{i}"
        elif n in model:
            edit_message(ports, tenant, 1, n, lambda m: replace(m, deleted_at=NOW))
            del model[n]
    return model


def scan(ports: FakePorts, tenant: Tenant, limit: int, ascending: bool) -> list[tuple[int, str]]:
    page: PageRequest | None = PageRequest(limit=limit, after=0 if ascending else None)
    items: list[tuple[int, str]] = []
    while page:
        listed = list_messages(ports, tenant, 1, page).value
        assert len(listed.items) <= limit
        items += [(m.number, m.body) for m in listed.items]
        if listed.next_cursor is None:
            break
        page = (
            PageRequest(limit, after=listed.next_cursor)
            if ascending
            else PageRequest(limit, listed.next_cursor)
        )
    return items


@given(st.lists(STEP, max_size=25), st.integers(1, 7), st.booleans())
def test_every_scan_sees_everything_once_in_order(
    steps: list[tuple[str, int]], limit: int, ascending: bool
) -> None:
    ports, tenant = FakePorts(), Tenant("0123456789abcdef0123456789abcd", 1)
    ports.store.applications.create_application(tenant.token, "x", NOW)
    create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    model = run(ports, tenant, steps)
    assert scan(ports, tenant, limit, ascending) == sorted(model.items(), reverse=not ascending)


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("persisted", [0, 17, 40], ids=["pending", "some stored", "stored"])
def test_a_scan_of_large_messages_sees_everything_once_in_order(
    ports: FakePorts, tenant: Tenant, ascending: bool, persisted: int
) -> None:
    create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    for number in range(1, 41):
        large = Message(
            number=0, revision=0, body=f"{number} {'x' * (MAX_BODY_CHARS - 3)}", created_at=NOW
        )
        create_messages(ports, tenant, 1, [large])
        if number == persisted:
            ports.persist()
    # Stored, and deleted since: what is pending makes room in the page.
    edit_message(ports, tenant, 1, 5, lambda m: replace(m, body="", deleted_at=NOW))
    edit_message(ports, tenant, 1, 38, lambda m: replace(m, body="", deleted_at=NOW))
    seen = [(number, body.split()[0]) for number, body in scan(ports, tenant, 100, ascending)]
    expected = [(n, str(n)) for n in range(1, 41) if n not in (5, 38)]
    assert seen == (expected if ascending else expected[::-1])


def test_chats_are_listed_newest_first_with_pending_ones(ports: FakePorts, tenant: Tenant) -> None:
    for i in range(5):
        create_chat(ports, tenant, Chat(number=0, revision=0, title=str(i), created_at=NOW))
        if i == 2:
            ports.persist()
    first = list_chats(ports, tenant, PageRequest(limit=3)).value
    assert [r.chat.number for r in first.items] == [5, 4, 3]
    second = list_chats(ports, tenant, PageRequest(limit=3, before=first.next_cursor)).value
    assert ([r.chat.number for r in second.items], second.next_cursor) == ([2, 1], None)
