"""Pages: what is pending and what is stored, merged, walked through without a gap or a double."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import Page
from chalicelib.usecases.accept import accept_chat, accept_messages
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.read import list_chats, list_messages
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
STEP = st.one_of(
    st.tuples(st.just("post"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["edit", "delete"]), st.integers(1, 20)),
    st.tuples(st.just("persist"), st.just(0)),
)


def run(world: FakeWorld, tenant: Tenant, steps: list[tuple[str, int]]) -> dict[int, str]:
    """Take the steps; return what must be there."""
    model: dict[int, str] = {}
    for i, (what, n) in enumerate(steps):
        if what == "persist":
            world.persist()
        elif what == "post":
            draft = Message(number=0, revision=0, body=str(i), created_at=NOW)
            for _ in range(n):
                model[accept_messages(world, tenant, 1, [draft]).first] = str(i)
        elif n in model and what == "edit":
            edit_message(world, tenant, 1, n, lambda m, i=i: replace(m, body=f"e{i}"))  # type: ignore[misc]
            model[n] = f"e{i}"
        elif n in model:
            edit_message(world, tenant, 1, n, lambda m: replace(m, deleted_at=NOW))
            del model[n]
    return model


def walk(world: FakeWorld, tenant: Tenant, limit: int, ascending: bool) -> list[tuple[int, str]]:
    page: Page | None = Page(limit=limit, after=0 if ascending else None)
    found: list[tuple[int, str]] = []
    while page:
        listed = list_messages(world, tenant, 1, page)
        assert len(listed.items) <= limit
        found += [(m.number, m.body) for m in listed.items]
        if listed.more_from is None:
            break
        page = Page(limit, after=listed.more_from) if ascending else Page(limit, listed.more_from)
    return found


@given(st.lists(STEP, max_size=25), st.integers(1, 7), st.booleans())
def test_every_walk_sees_everything_once_in_order(
    steps: list[tuple[str, int]], limit: int, ascending: bool
) -> None:
    world, tenant = FakeWorld(), Tenant("0123456789abcdef0123456789abcd", 1)
    world.store.create_application(tenant.token, "x", NOW)
    accept_chat(world, tenant, Chat(number=0, revision=0, created_at=NOW))
    world.persist()
    model = run(world, tenant, steps)
    assert walk(world, tenant, limit, ascending) == sorted(model.items(), reverse=not ascending)


def test_chats_are_listed_newest_first_with_pending_ones(world: FakeWorld, tenant: Tenant) -> None:
    for i in range(5):
        accept_chat(world, tenant, Chat(number=0, revision=0, title=str(i), created_at=NOW))
        if i == 2:
            world.persist()
    first = list_chats(world, tenant, Page(limit=3))
    assert [r.chat.number for r in first.items] == [5, 4, 3]
    second = list_chats(world, tenant, Page(limit=3, before=first.more_from))
    assert ([r.chat.number for r in second.items], second.more_from) == ([2, 1], None)
