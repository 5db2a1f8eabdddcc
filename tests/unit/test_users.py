"""The rights of users. The use cases check them, so they hold for every endpoint."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, User
from chalicelib.domain.change_feed import Since
from chalicelib.domain.errors import ForbiddenError, KeyReusedError, NotFoundError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.search import Query
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.applications import require_tenant
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.read import get_chat, get_message, list_changes, list_chats, list_messages
from chalicelib.usecases.read_markers import get_read_marker, list_read_markers, mark_read
from chalicelib.usecases.search import search_chat_messages, search_messages
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
CHAT = Chat(number=0, revision=0, created_at=NOW)
PAGE = PageRequest(limit=10)

Use = Callable[[FakePorts, Tenant, int], Any]


def draft(sender: str | None, body: str = "hello") -> Message:
    return Message(number=0, revision=0, body=body, sender=sender, created_at=NOW)


def post(ports: FakePorts, tenant: Tenant, chat: int) -> int:
    sender = tenant.user.name if tenant.user else None
    return create_messages(ports, tenant, chat, [draft(sender)]).value.first


def edit(ports: FakePorts, tenant: Tenant, chat: int) -> Message:
    return edit_message(ports, tenant, chat, 1, lambda m: replace(m, body="edited")).value


def query(tenant: Tenant) -> Query:
    return Query(token=tenant.token, terms=(), limit=10)


READS: dict[str, Use] = {
    "get_chat": get_chat,
    "get_message": lambda ports, tenant, chat: get_message(ports, tenant, chat, 1),
    "list_messages": lambda ports, tenant, chat: list_messages(ports, tenant, chat, PAGE),
    "search_chat_messages": lambda ports, tenant, chat: search_chat_messages(
        ports, tenant, chat, query(tenant)
    ),
}
READS |= {
    "list_changes": lambda ports, tenant, chat: list_changes(ports, tenant, chat, Since(), 10),
    "mark_read": lambda ports, tenant, chat: mark_read(ports, tenant, "ann", chat, 1),
    "get_read_marker": lambda ports, tenant, chat: get_read_marker(ports, tenant, "ann", chat),
}
WRITES: dict[str, Use] = {"post": post, "edit": edit}
READS_OF_ALL: dict[str, Use] = {
    "list_chats": lambda ports, tenant, _: list_chats(ports, tenant, PAGE),
    "search": lambda ports, tenant, _: search_messages(ports, tenant, query(tenant)),
    "list_read_markers": lambda ports, tenant, _: list_read_markers(ports, tenant, "ann", PAGE),
}
KEY_ONLY: dict[str, Use] = {
    "the application": lambda ports, tenant, _: require_tenant(ports, tenant),
    "create a chat": lambda ports, tenant, _: create_chat(ports, tenant, CHAT),
    "change a chat": lambda ports, tenant, chat: edit_chat(ports, tenant, chat, lambda c: c),
}


@pytest.fixture(autouse=True)
def two_chats(ports: FakePorts, tenant: Tenant) -> None:
    for chat in (1, 2):
        create_chat(ports, tenant, CHAT)
        create_messages(ports, tenant, chat, [draft("ann")])


def as_user(tenant: Tenant, name: str = "ann", **fields: Any) -> Tenant:
    return replace(tenant, user=User(name, **fields))


def messages(ports: FakePorts, tenant: Tenant) -> Any:
    return [
        (m.number, m.body, m.sender)
        for chat in (1, 2)
        for m in list_messages(ports, tenant, chat, PAGE).value.items
    ]


@pytest.mark.parametrize("use", [*READS.values(), *WRITES.values(), *READS_OF_ALL.values()])
def test_a_user_reads_and_writes_messages(ports: FakePorts, tenant: Tenant, use: Use) -> None:
    use(ports, as_user(tenant), 1)


@pytest.mark.parametrize("use", KEY_ONLY.values(), ids=KEY_ONLY)
def test_chats_and_applications_require_the_secret_key(
    ports: FakePorts, tenant: Tenant, use: Use
) -> None:
    with pytest.raises(ForbiddenError, match="secret key"):
        use(ports, as_user(tenant), 1)
    use(ports, tenant, 1)


@pytest.mark.parametrize(
    ("uses", "missing"), [(READS | READS_OF_ALL, "read"), (WRITES, "write")], ids=["read", "write"]
)
def test_a_request_beyond_the_scope_is_refused(
    ports: FakePorts, tenant: Tenant, uses: dict[str, Use], missing: str
) -> None:
    user = as_user(tenant, **{f"may_{missing}": False})
    for use in uses.values():
        with pytest.raises(ForbiddenError) as refused:
            use(ports, user, 1)
        assert refused.value.scope == missing


def test_a_user_of_single_chats_cannot_see_whether_others_exist(
    ports: FakePorts, tenant: Tenant
) -> None:
    user = as_user(tenant, chats=frozenset({1}))
    for use in (READS | WRITES).values():
        use(ports, user, 1)
        errors = set()
        for chat in (2, 3):  # one exists, one does not
            with pytest.raises(ForbiddenError) as refused:
                use(ports, user, chat)
            errors.add(str(refused.value))
        assert len(errors) == 1
    for use in READS_OF_ALL.values():
        with pytest.raises(ForbiddenError):
            use(ports, user, 1)


def test_a_forbidden_request_is_refused_before_anything_is_read(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("sequencer", "store", "index"):
        monkeypatch.setattr(ports, part, None)
    user = as_user(tenant, chats=frozenset())
    for use in (READS | WRITES | READS_OF_ALL | KEY_ONLY).values():
        with pytest.raises(ForbiddenError):
            use(ports, user, 1)


def test_a_user_writes_in_its_own_name_only(ports: FakePorts, tenant: Tenant) -> None:
    before = messages(ports, tenant)
    for sender in ("bob", None, "Ann"):
        with pytest.raises(ForbiddenError):
            create_messages(ports, as_user(tenant), 1, [draft("ann"), draft(sender)])
    assert messages(ports, tenant) == before


@pytest.mark.parametrize("persisted", [False, True])
def test_a_user_changes_its_own_messages_only(
    ports: FakePorts, tenant: Tenant, persisted: bool
) -> None:
    create_messages(ports, tenant, 1, [draft(None)])
    if persisted:
        ports.persist()
    before = messages(ports, tenant)
    for user, number in (("bob", 1), ("bob", 2), ("ann", 2)):
        for if_match in (None, 1):
            with pytest.raises(ForbiddenError):
                edit_message(ports, as_user(tenant, user), 1, number, lambda m: m, if_match)
    assert messages(ports, tenant) == before
    assert edit(ports, as_user(tenant), 1).body == "edited"


def test_the_sender_is_checked_on_the_version_that_is_edited(
    ports: FakePorts, tenant: Tenant
) -> None:
    """The sender changes between the read and the edit. The edit is retried, and then refused."""
    changed = []

    def change(message: Message) -> Message:
        if not changed:
            changed.append(edit_message(ports, tenant, 1, 1, lambda m: replace(m, sender="bob")))
        return replace(message, body="not mine any more")

    with pytest.raises(ForbiddenError):
        edit_message(ports, as_user(tenant), 1, 1, change)
    assert messages(ports, tenant)[0] == (1, "hello", "bob")


def test_a_user_reads_and_moves_its_own_read_marker_only(ports: FakePorts, tenant: Tenant) -> None:
    bob = as_user(tenant, "bob")
    for use in (READS["mark_read"], READS["get_read_marker"], READS_OF_ALL["list_read_markers"]):
        with pytest.raises(ForbiddenError):
            use(ports, bob, 1)


def test_a_missing_message_is_not_found_by_a_user_either(ports: FakePorts, tenant: Tenant) -> None:
    with pytest.raises(NotFoundError):
        edit_message(ports, as_user(tenant), 1, 9, lambda m: m)


def test_each_user_has_idempotency_keys_of_its_own(ports: FakePorts, tenant: Tenant) -> None:
    idempotency = IdempotencyKey("the same key", "fingerprint")
    other = IdempotencyKey("the same key", "another fingerprint")

    def send(sender: Tenant, idempotency: IdempotencyKey) -> int:
        name = sender.user.name if sender.user else None
        return create_messages(ports, sender, 1, [draft(name)], idempotency).value.first

    ann, bob = as_user(tenant), as_user(tenant, "bob")
    for _ in range(2):
        assert [send(sender, idempotency) for sender in (tenant, ann, bob)] == [2, 3, 4]
    for sender in (tenant, ann, bob):
        with pytest.raises(KeyReusedError):
            send(sender, other)
    assert send(as_user(tenant, "cid"), other) == 5


def test_a_retried_edit_is_replayed_to_its_own_user_only(ports: FakePorts, tenant: Tenant) -> None:
    idempotency = IdempotencyKey("the same key", "fingerprint")

    def send(sender: Tenant) -> bool:
        return edit_message(
            ports, sender, 1, 1, lambda m: replace(m, body="x"), None, idempotency
        ).replayed

    assert [send(as_user(tenant)) for _ in range(2)] == [False, True]
    with pytest.raises(ForbiddenError):
        send(as_user(tenant, "bob"))
    assert [send(tenant) for _ in range(2)] == [False, True]
