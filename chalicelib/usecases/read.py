"""Read chats, messages and changes: what is pending in Redis first, then what MySQL has."""

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Changes, Since
from chalicelib.domain.errors import GoneError, NotFoundError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Counter, PendingPage
from chalicelib.domain.models import Chat, ChatRow, Message
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import Page, PageRequest, fit_to_response, merge, rows_to_fetch
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import Ports

# The newest accepted state of a chat or a message: the pending one, or the row in MySQL.


class Current[T](msgspec.Struct, frozen=True):
    """A state that is not deleted, and how many edits its counter had seen before it was read."""

    state: T
    edits: int


def read_pending(
    ports: Ports,
    tenant: Tenant,
    counter: Counter,
    page: PageRequest,
    idempotency: IdempotencyKey | None = None,
) -> PendingPage:
    """The pending states of a page, or what a request with this mark got before.

    It also checks that the key's version is valid, and takes from the tenant's allowance.
    """
    key_version, rate_limit = tenant.key_version, tenant.rate_limit
    return with_lease(
        ports,
        counter,
        lambda: ports.sequencer.read_pending(counter, key_version, page, idempotency, rate_limit),
    )


def one(number: int) -> PageRequest:
    """The page that holds one number."""
    return PageRequest(limit=1, after=number - 1, before=number + 1)


def current_message(ports: Ports, tenant: Tenant, chat: int, number: int) -> Current[Message]:
    """Raises `NotFoundError`, `GoneError`. Redis is asked first: what left it since is in MySQL."""
    pending_page = read_pending(ports, tenant, Counter(tenant.token, chat), one(number))
    return resolve_message(ports, tenant, chat, number, pending_page)


def resolve_message(
    ports: Ports, tenant: Tenant, chat: int, number: int, pending_page: PendingPage
) -> Current[Message]:
    """The message as it is after a look at its number."""
    message = ports.store.messages.get_message(tenant.token, chat, number)
    for entry in pending_page.pending:
        if isinstance(entry.state, Message) and (
            message is None or entry.state.revision > message.revision
        ):
            message = entry.state
    if message is None:
        require_chat(ports, tenant, chat, pending_page.known)
        raise NotFoundError("there is no such message")
    if message.deleted_at:
        raise GoneError("the message was deleted")
    return Current(message, pending_page.edits)


def current_chat(ports: Ports, tenant: Tenant, number: int) -> tuple[ChatRow, int]:
    """The chat with its counts, and the edits as in `Current`. Raises `NotFoundError`, `GoneError`."""
    pending_page = read_pending(ports, tenant, Counter(tenant.token), one(number))
    return resolve_chat(ports, tenant, number, pending_page)


def resolve_chat(
    ports: Ports, tenant: Tenant, number: int, pending_page: PendingPage
) -> tuple[ChatRow, int]:
    """The chat as it is after a look at its number."""
    row = ports.store.chats.get_chat(tenant.token, number)
    for entry in pending_page.pending:
        if isinstance(entry.state, Chat):
            row = newer_chat(row, entry.state)
    if row is None:
        raise NotFoundError("there is no such chat")
    if row.chat.deleted_at:
        raise GoneError("the chat was deleted")
    return row, pending_page.edits


def newer_chat(row: ChatRow | None, pending: Chat) -> ChatRow:
    """The row, with the pending state where that is newer."""
    if row is None:
        return ChatRow(chat=pending, messages_count=0, last_message_number=0)
    if pending.revision > row.chat.revision:
        return msgspec.structs.replace(row, chat=pending)
    return row


def require_chat(ports: Ports, tenant: Tenant, chat: int, known: bool) -> None:
    """Raises `NotFoundError` or `GoneError` unless the chat is there; `known` is what Redis says."""
    if known:
        return
    row = ports.store.chats.get_chat(tenant.token, chat)
    if row is None:
        raise NotFoundError("there is no such chat")
    if row.chat.deleted_at:
        raise GoneError("the chat was deleted")


# One chat, with its counts and the message numbers that were passed over.


def get_chat(ports: Ports, tenant: Tenant, number: int) -> tuple[ChatRow, list[NumberRange]]:
    """Raises `NotFoundError`, `GoneError`; `ForbiddenError` for a user who may not read the chat."""
    tenant.require_read(number)
    row, _ = current_chat(ports, tenant, number)
    return row, ports.store.leases.skipped_numbers(tenant.token, number)


# One message, in its newest accepted state.


def get_message(ports: Ports, tenant: Tenant, chat: int, number: int) -> Message:
    """Raises `NotFoundError`, `GoneError`; `ForbiddenError` for a user who may not read the chat."""
    tenant.require_read(chat)
    return current_message(ports, tenant, chat, number).state


# A page of an application's chats: pending ones first, then MySQL's.


def list_chats(ports: Ports, tenant: Tenant, page: PageRequest) -> Page[ChatRow]:
    """Chats that are not deleted, with their counts. `ForbiddenError` for a user of single chats."""
    tenant.require_read(None)
    pending_page = read_pending(
        ports, tenant, Counter(tenant.token), replace(page, limit=page.limit + 1)
    )
    rows = ports.store.chats.list_chats(tenant.token, page, rows_to_fetch(page, pending_page))
    newest = {row.chat.number: row for row in rows}
    for entry in pending_page.pending:
        if isinstance(entry.state, Chat):
            number = entry.state.number
            newest[number] = newer_chat(newest.get(number), entry.state)
    return merge(
        page,
        pending_page,
        newest.values(),
        lambda r: r.chat.number,
        lambda r: bool(r.chat.deleted_at),
        lambda r: len(r.chat.title or ""),
    )


# A page of a chat's messages: pending ones first, then MySQL's, so that writers read their own writes.


def list_messages(ports: Ports, tenant: Tenant, chat: int, page: PageRequest) -> Page[Message]:
    """Messages that are not deleted. Raises `NotFoundError`, `GoneError`, `ForbiddenError`."""
    tenant.require_read(chat)
    wide = replace(page, limit=page.limit + 1)
    pending_page = read_pending(ports, tenant, Counter(tenant.token, chat), wide)
    rows = ports.store.messages.list_messages(
        tenant.token, chat, page, rows_to_fetch(page, pending_page)
    )
    if not rows:
        require_chat(ports, tenant, chat, pending_page.known)
    newest = {row.number: row for row in rows}
    for entry in pending_page.pending:
        state = entry.state
        if isinstance(state, Message) and (
            state.number not in newest or state.revision > newest[state.number].revision
        ):
            newest[state.number] = state
    return merge(
        page,
        pending_page,
        newest.values(),
        lambda m: m.number,
        lambda m: bool(m.deleted_at),
        lambda m: len(m.body),
    )


# The changes of a chat's messages since a place, for clients that keep a copy.
#
# Only what is stored is told. The place moves over what was told and nothing else, so whatever is still
# pending, on a queue, or late comes behind it; Redis is only asked whether the chat is there.


def list_changes(ports: Ports, tenant: Tenant, chat: int, since: Since, limit: int) -> Changes:
    """Up to `limit` changes. Raises `NotFoundError`, `GoneError`, `ForbiddenError`."""
    tenant.require_read(chat)
    pending_page = read_pending(ports, tenant, Counter(tenant.token, chat), PageRequest(limit=0))
    found = ports.store.messages.list_changes(tenant.token, chat, since, limit + 1)
    if not found:
        require_chat(ports, tenant, chat, pending_page.known)
    shown = fit_to_response(found[:limit], lambda change: len(change.message.body))
    return Changes(tuple(shown), shown[-1].since if shown else since, len(found) > len(shown))
