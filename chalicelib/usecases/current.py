"""The newest accepted state of a chat or a message: the pending one, or the row in MySQL."""

import msgspec

from chalicelib.domain.errors import GoneError, NotFoundError
from chalicelib.domain.numbering import Counter, IdempotencyMark, Look, Page
from chalicelib.domain.records import Chat, ChatRow, Message
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import World


class Current[T](msgspec.Struct, frozen=True):
    """A state that is not deleted, and how many edits its counter had seen before it was read."""

    state: T
    edits: int


def look_at(
    world: World,
    tenant: Tenant,
    counter: Counter,
    page: Page,
    mark: IdempotencyMark | None = None,
) -> Look:
    """The pending states of a page, or what a request with this mark got before.

    It also checks that the key's version is valid, and takes from the tenant's allowance.
    """
    key_version, allowance = tenant.key_version, tenant.allowance
    return with_lease(
        world, counter, lambda: world.ledger.look(counter, key_version, page, mark, allowance)
    )


def one(number: int) -> Page:
    """The page that holds one number."""
    return Page(limit=1, after=number - 1, before=number + 1)


def current_message(world: World, tenant: Tenant, chat: int, number: int) -> Current[Message]:
    """Raises `NotFoundError`, `GoneError`. Redis is asked first: what left it since is in MySQL."""
    look = look_at(world, tenant, Counter(tenant.token, chat), one(number))
    return message_after(world, tenant, chat, number, look)


def message_after(
    world: World, tenant: Tenant, chat: int, number: int, look: Look
) -> Current[Message]:
    """The message as it is after a look at its number."""
    message = world.store.get_message(tenant.token, chat, number)
    for entry in look.pending:
        if isinstance(entry.state, Message) and (
            message is None or entry.state.revision > message.revision
        ):
            message = entry.state
    if message is None:
        require_chat(world, tenant, chat, look.known)
        raise NotFoundError("there is no such message")
    if message.deleted_at:
        raise GoneError("the message was deleted")
    return Current(message, look.edits)


def current_chat(world: World, tenant: Tenant, number: int) -> tuple[ChatRow, int]:
    """The chat with its counts, and the edits as in `Current`. Raises `NotFoundError`, `GoneError`."""
    look = look_at(world, tenant, Counter(tenant.token), one(number))
    return chat_after(world, tenant, number, look)


def chat_after(world: World, tenant: Tenant, number: int, look: Look) -> tuple[ChatRow, int]:
    """The chat as it is after a look at its number."""
    row = world.store.get_chat(tenant.token, number)
    for entry in look.pending:
        if isinstance(entry.state, Chat):
            row = newer_chat(row, entry.state)
    if row is None:
        raise NotFoundError("there is no such chat")
    if row.chat.deleted_at:
        raise GoneError("the chat was deleted")
    return row, look.edits


def newer_chat(row: ChatRow | None, pending: Chat) -> ChatRow:
    """The row, with the pending state where that is newer."""
    if row is None:
        return ChatRow(chat=pending, messages_count=0, last_message_number=0)
    if pending.revision > row.chat.revision:
        return msgspec.structs.replace(row, chat=pending)
    return row


def require_chat(world: World, tenant: Tenant, chat: int, known: bool) -> None:
    """Raises `NotFoundError` or `GoneError` unless the chat is there; `known` is what Redis says."""
    if known:
        return
    row = world.store.get_chat(tenant.token, chat)
    if row is None:
        raise NotFoundError("there is no such chat")
    if row.chat.deleted_at:
        raise GoneError("the chat was deleted")
