"""Read chats, messages and changes, so that writers read their own writes.

The newest accepted version of a number is pending in Redis or stored in MySQL. Each function reads Redis
first: a version that has left Redis by then is already in MySQL.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.change_feed import Changes, Since
from chalicelib.domain.errors import GoneError, NotFoundError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Counter, PendingPage
from chalicelib.domain.models import Chat, ChatNumber, ChatRow, Message, MessageNumber
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import Page, PageRequest, fit_to_response, merge, only, rows_to_fetch
from chalicelib.domain.rate_limits import Result
from chalicelib.usecases.accept import with_lease
from chalicelib.usecases.ports import Ports

NOTHING = PageRequest(limit=0)


class Current[T](msgspec.Struct, frozen=True):
    """A version that is not deleted, and the counter's `edits` from before the version was read."""

    version: T
    edits: int


class ChatDetail(msgspec.Struct, frozen=True):
    """A chat with its counts, and the message numbers that were skipped."""

    row: ChatRow
    skipped: list[NumberRange]


def get_chat(ports: Ports, tenant: Tenant, number: ChatNumber) -> Result[ChatDetail]:
    """One chat. Raises `NotFoundError`, `GoneError`; `ForbiddenError` if a user may not read the chat."""
    tenant.require_read(number)
    pending_page = read_pending(ports, tenant, Counter(tenant.token), only(number))
    with remaining_on_errors(pending_page.remaining):
        row = resolve_chat(ports, tenant, number, pending_page).version
        skipped = ports.store.leases.skipped_numbers(tenant.token, number)
    return Result(ChatDetail(row, skipped), pending_page.remaining)


def get_message(
    ports: Ports, tenant: Tenant, chat: ChatNumber, number: MessageNumber
) -> Result[Message]:
    """One message. Raises `NotFoundError`, `GoneError`; `ForbiddenError` if a user may not read the chat."""
    tenant.require_read(chat)
    pending_page = read_pending(ports, tenant, Counter(tenant.token, chat), only(number))
    with remaining_on_errors(pending_page.remaining):
        message = resolve_message(ports, tenant, chat, number, pending_page).version
    return Result(message, pending_page.remaining)


def list_chats(ports: Ports, tenant: Tenant, page: PageRequest) -> Result[Page[ChatRow, int]]:
    """A page of the chats that are not deleted. Raises `ForbiddenError` for a user of single chats."""
    tenant.require_read(None)
    pending_page, rows = _read_without_gaps(
        ports,
        tenant,
        Counter(tenant.token),
        page,
        lambda page, limit: ports.store.chats.list_chats(tenant.token, page, limit),
        lambda row: row.chat.number,
    )
    newest = {row.chat.number: row for row in rows}
    for entry in pending_page.pending:
        if isinstance(entry.version, Chat):
            number = entry.version.number
            newest[number] = newer_chat(newest.get(number), entry.version)
    chats = merge(
        page,
        pending_page,
        rows,
        newest.values(),
        lambda row: row.chat.number,
        lambda row: bool(row.chat.deleted_at),
        lambda row: len(row.chat.title or ""),
    )
    return Result(chats, pending_page.remaining)


def list_messages(
    ports: Ports, tenant: Tenant, chat: ChatNumber, page: PageRequest
) -> Result[Page[Message, int]]:
    """A page of the messages that are not deleted. Raises `NotFoundError`, `GoneError`, `ForbiddenError`."""
    tenant.require_read(chat)
    pending_page, rows = _read_without_gaps(
        ports,
        tenant,
        Counter(tenant.token, chat),
        page,
        lambda page, limit: ports.store.messages.list_messages(tenant.token, chat, page, limit),
        lambda message: message.number,
    )
    if not rows:
        with remaining_on_errors(pending_page.remaining):
            require_chat(ports, tenant, chat, pending_page.known)
    newest = {row.number: row for row in rows}
    for entry in pending_page.pending:
        version = entry.version
        if isinstance(version, Message) and (
            version.number not in newest or version.revision > newest[version.number].revision
        ):
            newest[version.number] = version
    messages = merge(
        page,
        pending_page,
        rows,
        newest.values(),
        lambda message: message.number,
        lambda message: bool(message.deleted_at),
        lambda message: len(message.body),
    )
    return Result(messages, pending_page.remaining)


def list_changes(
    ports: Ports, tenant: Tenant, chat: ChatNumber, since: Since, limit: int
) -> Result[Changes]:
    """Up to `limit` changes of the chat's messages. Raises `NotFoundError`, `GoneError`, `ForbiddenError`.

    The changes are those that MySQL has stored. A version that is pending, or late on a queue, gets its
    position when it is stored, so it comes after everything that was listed before. Redis only says
    whether the chat exists.
    """
    tenant.require_read(chat)
    pending_page = read_pending(ports, tenant, Counter(tenant.token, chat), NOTHING)
    with remaining_on_errors(pending_page.remaining):
        stored = ports.store.messages.list_changes(tenant.token, chat, since, limit + 1)
        if not stored:
            require_chat(ports, tenant, chat, pending_page.known)
    shown = fit_to_response(stored[:limit], lambda change: len(change.message.body))
    last = shown[-1].since if shown else since
    changes = Changes(tuple(shown), last, more=len(stored) > len(shown))
    return Result(changes, pending_page.remaining)


def read_pending(
    ports: Ports,
    tenant: Tenant,
    counter: Counter,
    page: PageRequest,
    idempotency: IdempotencyKey | None = None,
    cost: int = 1,
) -> PendingPage:
    """The pending versions of a page, or what an earlier request with this Idempotency-Key got.

    This also checks that the key's version is valid, and takes `cost` from the tenant's buckets. Raises
    `UnauthenticatedError`, `NotFoundError`, `GoneError`, `KeyReusedError`, `RateLimitedError`.
    """
    return with_lease(
        ports,
        tenant,
        counter,
        lambda tenant: ports.sequencer.read_pending(tenant, counter, page, idempotency, cost),
    )


def resolve_message(
    ports: Ports, tenant: Tenant, chat: ChatNumber, number: MessageNumber, pending_page: PendingPage
) -> Current[Message]:
    """The newest version of a message, after `pending_page` was read for its number.

    Raises `NotFoundError`, `GoneError`.
    """
    message = ports.store.messages.get_message(tenant.token, chat, number)
    for entry in pending_page.pending:
        if isinstance(entry.version, Message) and (
            message is None or entry.version.revision > message.revision
        ):
            message = entry.version
    if message is None:
        require_chat(ports, tenant, chat, pending_page.known)
        raise NotFoundError("there is no such message")
    if message.deleted_at:
        raise GoneError("the message was deleted")
    return Current(message, pending_page.edits)


def resolve_chat(
    ports: Ports, tenant: Tenant, number: ChatNumber, pending_page: PendingPage
) -> Current[ChatRow]:
    """The newest version of a chat, after `pending_page` was read for its number.

    Raises `NotFoundError`, `GoneError`.
    """
    row = ports.store.chats.get_chat(tenant.token, number)
    for entry in pending_page.pending:
        if isinstance(entry.version, Chat):
            row = newer_chat(row, entry.version)
    return Current(_existing(row), pending_page.edits)


def newer_chat(row: ChatRow | None, pending: Chat) -> ChatRow:
    """The row; if the pending version is newer, the row with that version."""
    if row is None:
        return ChatRow(chat=pending, messages_count=0, last_message_number=0)
    return replace(row, chat=pending) if pending.revision > row.chat.revision else row


def require_chat(ports: Ports, tenant: Tenant, chat: ChatNumber, known: bool) -> None:
    """Raises `NotFoundError` or `GoneError` if the chat does not exist. If Redis knows it, it does."""
    if not known:
        _existing(ports.store.chats.get_chat(tenant.token, chat))


def _existing(row: ChatRow | None) -> ChatRow:
    if row is None:
        raise NotFoundError("there is no such chat")
    if row.chat.deleted_at:
        raise GoneError("the chat was deleted")
    return row


def _read_without_gaps[T](
    ports: Ports,
    tenant: Tenant,
    counter: Counter,
    page: PageRequest,
    list_rows: Callable[[PageRequest, int], list[T]],
    number: Callable[[T], int],
) -> tuple[PendingPage, list[T]]:
    """The pending versions and the rows of a page, so that no accepted number between them is missing.

    All numbers up to the last one that was issued when Redis was read are pending in that reading, or are
    among the rows. Numbers that were issued later may be among the rows although lower ones are not, because
    records are persisted in any order. A client that saw the higher one would continue after it, and never
    see the lower one. So if the rows have a number above the last one, Redis is read again. If the counter
    has moved since, the page ends at its last number. If not, another incarnation issued the number: it
    stays. (A counter that appears and is gone again in between had been idle for an hour.)
    """
    pending_page = read_pending(ports, tenant, counter, _one_more(page))
    with remaining_on_errors(pending_page.remaining):
        rows = list_rows(page, rows_to_fetch(page, pending_page))
        if any(number(row) > (pending_page.last or 0) for row in rows):
            again = read_pending(ports, tenant.without_rate_limit(), counter, _one_more(page))
            if again.last is not None and again.last != pending_page.last:
                pending_page = replace(again, remaining=pending_page.remaining)
                rows = list_rows(_up_to(again.last, page), rows_to_fetch(page, again))
    return pending_page, rows


def _up_to(last: int, page: PageRequest) -> PageRequest:
    before = last + 1 if page.before is None else min(page.before, last + 1)
    return replace(page, before=before)


def _one_more(page: PageRequest) -> PageRequest:
    """One pending version more than the page shows, so that the merged page can tell of a next one."""
    return replace(page, limit=page.limit + 1)
