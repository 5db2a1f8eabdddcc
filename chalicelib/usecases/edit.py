"""Edit or delete a chat or a message: read the current version, change it, accept the new one.

The new version is accepted only if the version that it was made from is still current; otherwise all is
done again. A retry with the same Idempotency-Key is not an edit: it gets the version that the first request
made, or a newer one if there is one by then (`docs/design.md`).
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    NotFoundError,
    RevisionMismatchError,
)
from chalicelib.domain.idempotency import IdempotencyKey, WriteResult
from chalicelib.domain.leases import Accepted, Counter, EditPrecondition, PendingPage
from chalicelib.domain.metrics import CHANGES_ACCEPTED, IDEMPOTENT_REPLAYS
from chalicelib.domain.models import (
    Chat,
    ChatNumber,
    ChatRow,
    Epoch,
    Message,
    MessageNumber,
    Pending,
    Revision,
)
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import only
from chalicelib.domain.queue_records import records_of
from chalicelib.domain.rate_limits import Remaining
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import enqueue, with_lease
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import (
    Current,
    read_pending,
    resolve_chat,
    resolve_message,
)

_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.05
_PATIENCE_MS = 2_000


class _Edit[T: (Message, Chat)](msgspec.Struct, frozen=True):
    """The edit of one number. `resolve` gives the current version, and `change` makes the next version of it.
    `stored_response` is what a replay needs beside the version, once `resolve` was called.
    """

    counter: Counter
    number: int
    resolve: Callable[[PendingPage], Current[T]]
    change: Callable[[T], T]
    stored_response: Callable[[], bytes]
    if_match: int | None
    idempotency: IdempotencyKey | None


class _Counts(msgspec.Struct, frozen=True):
    """The counts of a chat in the response to its edit."""

    messages_count: int
    last_message_number: int


class _Outcome[T: (Message, Chat)](msgspec.Struct, frozen=True):
    """What was accepted: `version` now, or `replayed` for an earlier request with the same key."""

    remaining: tuple[Remaining, ...]
    version: T | None = None
    replayed: Accepted | None = None


def edit_message(
    ports: Ports,
    tenant: Tenant,
    chat: ChatNumber,
    number: MessageNumber,
    change: Callable[[Message], Message],
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Message]:
    """The new version of the message, as it was accepted. `if_match` is the revision that the client has.

    Raises `NotFoundError`, `GoneError`, `RevisionMismatchError`, `KeyReusedError`, `RateLimitedError`.
    Raises `ConflictError` if other requests change the same message for two seconds. Raises
    `ForbiddenError` if a user may not write to the chat, or is not the sender of the version that is
    changed.
    """
    tenant.require_write(chat)

    def resolve(pending_page: PendingPage) -> Current[Message]:
        current = resolve_message(ports, tenant, chat, number, pending_page)
        tenant.require_sender(current.version.sender)
        return current

    counter, idempotency = Counter(tenant.token, chat), tenant.scoped_to_user(idempotency)
    edit = _Edit(counter, number, resolve, change, lambda: b"", if_match, idempotency)
    outcome = _accept_edit(ports, tenant, edit)
    if outcome.replayed:
        first = outcome.replayed
        message = _current(ports, tenant, edit) or Message(
            number=number, revision=first.revision, body="", created_at=first.created_at
        )
        return _result(message, outcome, number, first.revision)
    assert outcome.version is not None
    return _result(outcome.version, outcome, number, outcome.version.revision)


def delete_message(
    ports: Ports,
    tenant: Tenant,
    chat: ChatNumber,
    number: MessageNumber,
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Message]:
    """The deleted version: it has no body, sender or metadata. Raises as `edit_message`."""
    now = rfc3339(ports.clock.now_ms())

    def delete(message: Message) -> Message:
        return replace(message, body="", sender=None, metadata=None, deleted_at=now)

    return edit_message(ports, tenant, chat, number, delete, if_match, idempotency)


def edit_chat(
    ports: Ports,
    tenant: Tenant,
    number: ChatNumber,
    change: Callable[[Chat], Chat],
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[ChatRow]:
    """The new version of the chat, as it was accepted, with its counts. Raises as `edit_message`."""
    tenant.require_key()
    row: ChatRow

    def resolve(pending_page: PendingPage) -> Current[Chat]:
        nonlocal row
        current = resolve_chat(ports, tenant, number, pending_page)
        row = current.version
        return Current(row.chat, current.edits)

    def counts() -> bytes:
        return msgspec.json.encode(_Counts(row.messages_count, row.last_message_number))

    edit = _Edit(Counter(tenant.token), number, resolve, change, counts, if_match, idempotency)
    outcome = _accept_edit(ports, tenant, edit)
    if outcome.replayed:
        first = outcome.replayed
        chat = _current(ports, tenant, edit) or Chat(
            number=number, revision=first.revision, created_at=first.created_at
        )
        stored = msgspec.json.decode(first.stored_response, type=_Counts)
        row = ChatRow(
            chat=replace(chat, messages_lease=None),
            messages_count=stored.messages_count,
            last_message_number=stored.last_message_number,
        )
        return _result(row, outcome, number, first.revision)
    assert outcome.version is not None
    row = replace(row, chat=outcome.version)
    return _result(row, outcome, number, outcome.version.revision)


def delete_chat(
    ports: Ports,
    tenant: Tenant,
    number: ChatNumber,
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[ChatRow]:
    """Delete a chat with its messages. Raises as `edit_message`."""
    now = rfc3339(ports.clock.now_ms())

    def delete(chat: Chat) -> Chat:
        return replace(chat, title=None, metadata=None, deleted_at=now)

    return edit_chat(ports, tenant, number, delete, if_match, idempotency)


def _accept_edit[T: (Message, Chat)](ports: Ports, tenant: Tenant, edit: _Edit[T]) -> _Outcome[T]:
    """The first read and the first attempt take from the tenant's buckets; all that follows takes nothing."""
    until = ports.clock.now_ms() + _PATIENCE_MS
    pending_page = _read(ports, tenant, edit)
    remaining = pending_page.remaining
    for attempt in count():
        with remaining_on_errors(remaining):
            if attempt:
                tenant = tenant.without_rate_limit()
                ports.clock.wait(min(_PAUSE_SECONDS * (attempt - 1), _LONGEST_PAUSE_SECONDS))
                pending_page = _read(ports, tenant, edit)
            try:
                accepted = _attempt(ports, tenant, edit, pending_page)
            except ConflictError as error:
                remaining = error.remaining or remaining
                if ports.clock.now_ms() > until:
                    break
            else:
                return replace(accepted, remaining=accepted.remaining or remaining)
    with remaining_on_errors(remaining):
        raise ConflictError("other requests kept changing it; try again")


def _read[T: (Message, Chat)](ports: Ports, tenant: Tenant, edit: _Edit[T]) -> PendingPage:
    return read_pending(ports, tenant, edit.counter, only(edit.number), edit.idempotency)


def _attempt[T: (Message, Chat)](
    ports: Ports, tenant: Tenant, edit: _Edit[T], pending_page: PendingPage
) -> _Outcome[T]:
    """The accepted version, or what an earlier request got. Raises `ConflictError` if it was not current."""
    if pending_page.replayed:
        return _resend(ports, edit.counter, pending_page.replayed)
    counter, idempotency = edit.counter, edit.idempotency
    current = edit.resolve(pending_page)
    revision = current.version.revision
    if edit.if_match is not None and edit.if_match != revision:
        raise RevisionMismatchError(f"the current revision is {revision}")
    epoch = ports.store.leases.lease_epoch(counter) or Epoch(0)
    precondition = EditPrecondition(revision, current.edits, epoch)
    version = edit.change(current.version)
    stored_response = edit.stored_response() if idempotency else b""
    accepted = with_lease(
        ports,
        tenant,
        counter,
        lambda tenant: ports.sequencer.edit(
            tenant, counter, version, precondition, idempotency, stored_response
        ),
    )
    with remaining_on_errors(accepted.remaining):
        if accepted.replayed:
            return _resend(ports, counter, accepted)
        version = replace(version, revision=accepted.revision)
        pending = Pending(0, accepted.lease, version)
        enqueue(ports, records_of(counter.token, counter.chat, [pending]))
    ports.metrics.count(CHANGES_ACCEPTED)
    return _Outcome(accepted.remaining, version=version)


def _resend(ports: Ports, counter: Counter, accepted: Accepted) -> _Outcome[Any]:
    """Enqueue what an earlier request accepted and may not have enqueued."""
    enqueue(ports, records_of(counter.token, counter.chat, accepted.pending))
    ports.metrics.count(IDEMPOTENT_REPLAYS)
    return _Outcome(accepted.remaining, replayed=accepted)


def _current[T: (Message, Chat)](ports: Ports, tenant: Tenant, edit: _Edit[T]) -> T | None:
    """The version that a replay shows: None if it was deleted, so that no deleted text comes back."""
    try:
        page = read_pending(ports, tenant.without_rate_limit(), edit.counter, only(edit.number))
        return edit.resolve(page).version
    except (NotFoundError, GoneError):
        return None


def _result[T, V: (Message, Chat)](
    value: T, outcome: _Outcome[V], number: int, revision: Revision
) -> WriteResult[T]:
    return WriteResult(
        value,
        outcome.remaining,
        replayed=outcome.replayed is not None,
        numbers=NumberRange(number, number),
        revision=revision,
    )
