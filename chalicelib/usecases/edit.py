"""Edit or delete a chat or a message: read the current state, change it, accept it if still current.

A retry with the same Idempotency-Key is answered before the state is read: that may have gone on since.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import ConflictError, RevisionMismatchError
from chalicelib.domain.idempotency import (
    IdempotencyKey,
    WriteResult,
    compact_for_replay,
    restore_for_replay,
)
from chalicelib.domain.leases import Accepted, Counter, EditPrecondition, PendingPage
from chalicelib.domain.metrics import CHANGES_ACCEPTED, REPLAYS
from chalicelib.domain.models import Chat, ChatRow, Message, Pending
from chalicelib.domain.queue_records import records_of
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import enqueue
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import Current, one, read_pending, resolve_chat, resolve_message

_ATTEMPTS = 12
_PAUSE_SECONDS = 0.01
_PATIENCE_MS = 2_000


class _Edit[T: (Message, Chat)](msgspec.Struct, frozen=True):
    """What is asked for. `read` is told of a look at the number, `keep` of the new state."""

    counter: Counter
    number: int
    read: Callable[[PendingPage], Current[T]]
    change: Callable[[T], T]
    keep: Callable[[T], bytes]
    if_match: int | None
    idempotency: IdempotencyKey | None


def edit_message(
    ports: Ports,
    tenant: Tenant,
    chat: int,
    number: int,
    change: Callable[[Message], Message],
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Message]:
    """The new state as it was accepted. `if_match` is the revision that the client has seen.

    Raises `NotFoundError`, `GoneError`, `RevisionMismatchError`, `KeyReusedError`, `RateLimitedError`;
    `ConflictError` where others kept changing messages of the chat for seconds; `ForbiddenError` for a
    user who may not write to the chat, or whose message it is not. The state that is asked whose it is is
    the one from which the change is made.
    """
    tenant.require_write(chat)

    def read(pending_page: PendingPage) -> Current[Message]:
        current = resolve_message(ports, tenant, chat, number, pending_page)
        tenant.require_sender(current.state.sender)
        return current

    def keep(state: Message) -> bytes:
        return msgspec.json.encode(compact_for_replay(state, change))

    edit = _Edit(
        Counter(tenant.token, chat),
        number,
        read,
        change,
        keep,
        if_match,
        tenant.scoped_to_user(idempotency),
    )
    done = _accept_edit(ports, tenant, edit)
    if isinstance(done, Accepted):
        kept = msgspec.json.decode(done.kept, type=Message)
        return WriteResult(restore_for_replay(kept, done.revision, change), replayed=True)
    return WriteResult(done)


def edit_chat(
    ports: Ports,
    tenant: Tenant,
    number: int,
    change: Callable[[Chat], Chat],
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[ChatRow]:
    """The new state as it was accepted, with the chat's counts. Raises as `edit_message`."""
    tenant.require_key()
    row: ChatRow

    def read(pending_page: PendingPage) -> Current[Chat]:
        nonlocal row
        row, edits = resolve_chat(ports, tenant, number, pending_page)
        return Current(row.chat, edits)

    def keep(state: Chat) -> bytes:
        return msgspec.json.encode(replace(row, chat=compact_for_replay(state, change)))

    edit = _Edit(Counter(tenant.token), number, read, change, keep, if_match, idempotency)
    done = _accept_edit(ports, tenant, edit)
    if isinstance(done, Accepted):
        kept = msgspec.json.decode(done.kept, type=ChatRow)
        chat = restore_for_replay(kept.chat, done.revision, change)
        return WriteResult(replace(kept, chat=chat), replayed=True)
    return WriteResult(replace(row, chat=done))


def delete_message(
    ports: Ports,
    tenant: Tenant,
    chat: int,
    number: int,
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Message]:
    """The deleted version: no body, sender or metadata. Its number stays in use. Raises as `edit_message`."""
    now = rfc3339(ports.clock.now_ms())

    def deleted(version: Message) -> Message:
        return replace(version, body="", sender=None, metadata=None, deleted_at=now)

    return edit_message(ports, tenant, chat, number, deleted, if_match, idempotency)


def delete_chat(
    ports: Ports,
    tenant: Tenant,
    number: int,
    if_match: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[ChatRow]:
    """Delete a chat with its messages. Its number stays in use. Raises as `edit_message`."""
    now = rfc3339(ports.clock.now_ms())

    def deleted(version: Chat) -> Chat:
        return replace(version, title=None, metadata=None, deleted_at=now)

    return edit_chat(ports, tenant, number, deleted, if_match, idempotency)


def _accept_edit[T: (Message, Chat)](ports: Ports, tenant: Tenant, edit: _Edit[T]) -> T | Accepted:
    """The new state, or what an earlier try of the request was given."""
    until = ports.clock.now_ms() + _PATIENCE_MS
    for attempt in range(_ATTEMPTS):
        pending_page = read_pending(ports, tenant, edit.counter, one(edit.number), edit.idempotency)
        if pending_page.replayed:
            return _send_again(ports, edit.counter, pending_page.replayed)
        current = edit.read(pending_page)
        base = current.state.revision
        if edit.if_match is not None and edit.if_match != base:
            raise RevisionMismatchError(f"the current revision is {base}")
        try:
            return _accept_once(ports, tenant, edit, current)
        except ConflictError:
            if ports.clock.now_ms() > until:
                break
            ports.clock.wait(_PAUSE_SECONDS * attempt)
    raise ConflictError("others kept changing the same chat; try again")


def _accept_once[T: (Message, Chat)](
    ports: Ports, tenant: Tenant, edit: _Edit[T], current: Current[T]
) -> T | Accepted:
    counter, idempotency = edit.counter, edit.idempotency
    epoch = ports.store.leases.lease_epoch(counter) or 0
    precondition = EditPrecondition(current.state.revision, current.edits, epoch)
    state = edit.change(current.state)
    kept = edit.keep(state) if idempotency else b""
    accepted = with_lease(
        ports,
        counter,
        lambda: ports.sequencer.edit(
            counter, tenant.key_version, state, precondition, idempotency, kept
        ),
    )
    if accepted.replayed:
        return _send_again(ports, counter, accepted)
    state = replace(state, revision=accepted.revision)
    enqueue(ports, records_of(counter.token, counter.chat, [Pending(0, accepted.lease, state)]))
    ports.metrics.count(CHANGES_ACCEPTED)
    return state


def _send_again(ports: Ports, counter: Counter, accepted: Accepted) -> Accepted:
    """What was accepted before may not have reached the queue."""
    enqueue(ports, records_of(counter.token, counter.chat, accepted.pending))
    ports.metrics.count(REPLAYS)
    return accepted
