"""Edit or delete a chat or a message: read the current state, change it, accept it if still current.

A retry with the same Idempotency-Key is answered before the state is read: that may have gone on since.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import ConflictError, RevisionMismatchError
from chalicelib.domain.idempotency import Changed, IdempotencyMark, as_answered, for_retries
from chalicelib.domain.leases import Accepted, Basis, Counter, Look
from chalicelib.domain.metrics import CHANGES_ACCEPTED, REPLAYS
from chalicelib.domain.models import Chat, ChatRow, Message, Pending
from chalicelib.domain.queue_records import records_of
from chalicelib.usecases.accept import hand_over
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import World
from chalicelib.usecases.read import Current, chat_after, look_at, message_after, one

_ATTEMPTS = 12
_PAUSE_SECONDS = 0.01
_PATIENCE_MS = 2_000


class _Edit[T: (Message, Chat)](msgspec.Struct, frozen=True):
    """What is asked for. `read` is told of a look at the number, `keep` of the new state."""

    counter: Counter
    number: int
    read: Callable[[Look], Current[T]]
    change: Callable[[T], T]
    keep: Callable[[T], bytes]
    if_match: int | None
    mark: IdempotencyMark | None


def edit_message(
    world: World,
    tenant: Tenant,
    chat: int,
    number: int,
    change: Callable[[Message], Message],
    if_match: int | None = None,
    mark: IdempotencyMark | None = None,
) -> Changed[Message]:
    """The new state as it was accepted. `if_match` is the revision that the client has seen.

    Raises `NotFoundError`, `GoneError`, `RevisionMismatchError`, `KeyReusedError`, `RateLimitedError`;
    `ConflictError` where others kept changing messages of the chat for seconds; `ForbiddenError` for a
    user who may not write to the chat, or whose message it is not. The state that is asked whose it is is
    the one from which the change is made.
    """
    tenant.require_write(chat)

    def read(look: Look) -> Current[Message]:
        current = message_after(world, tenant, chat, number, look)
        tenant.require_sender(current.state.sender)
        return current

    def keep(state: Message) -> bytes:
        return msgspec.json.encode(for_retries(state, change))

    edit = _Edit(
        Counter(tenant.token, chat), number, read, change, keep, if_match, tenant.own(mark)
    )
    done = _accept_edit(world, tenant, edit)
    if isinstance(done, Accepted):
        kept = msgspec.json.decode(done.kept, type=Message)
        return Changed(as_answered(kept, done.revision, change), replayed=True)
    return Changed(done)


def edit_chat(
    world: World,
    tenant: Tenant,
    number: int,
    change: Callable[[Chat], Chat],
    if_match: int | None = None,
    mark: IdempotencyMark | None = None,
) -> Changed[ChatRow]:
    """The new state as it was accepted, with the chat's counts. Raises as `edit_message`."""
    tenant.require_key()
    row: ChatRow

    def read(look: Look) -> Current[Chat]:
        nonlocal row
        row, edits = chat_after(world, tenant, number, look)
        return Current(row.chat, edits)

    def keep(state: Chat) -> bytes:
        return msgspec.json.encode(replace(row, chat=for_retries(state, change)))

    edit = _Edit(Counter(tenant.token), number, read, change, keep, if_match, mark)
    done = _accept_edit(world, tenant, edit)
    if isinstance(done, Accepted):
        kept = msgspec.json.decode(done.kept, type=ChatRow)
        chat = as_answered(kept.chat, done.revision, change)
        return Changed(replace(kept, chat=chat), replayed=True)
    return Changed(replace(row, chat=done))


def _accept_edit[T: (Message, Chat)](world: World, tenant: Tenant, edit: _Edit[T]) -> T | Accepted:
    """The new state, or what an earlier try of the request was given."""
    until = world.clock.now_ms() + _PATIENCE_MS
    for attempt in range(_ATTEMPTS):
        look = look_at(world, tenant, edit.counter, one(edit.number), edit.mark)
        if look.replayed:
            return _send_again(world, edit.counter, look.replayed)
        current = edit.read(look)
        base = current.state.revision
        if edit.if_match is not None and edit.if_match != base:
            raise RevisionMismatchError(f"the current revision is {base}")
        try:
            return _accept_once(world, tenant, edit, current)
        except ConflictError:
            if world.clock.now_ms() > until:
                break
            world.clock.wait(_PAUSE_SECONDS * attempt)
    raise ConflictError("others kept changing the same chat; try again")


def _accept_once[T: (Message, Chat)](
    world: World, tenant: Tenant, edit: _Edit[T], current: Current[T]
) -> T | Accepted:
    counter, mark = edit.counter, edit.mark
    epoch = world.store.lease_epoch(counter) or 0
    basis = Basis(current.state.revision, current.edits, epoch)
    state = edit.change(current.state)
    kept = edit.keep(state) if mark else b""
    accepted = with_lease(
        world,
        counter,
        lambda: world.ledger.edit(counter, tenant.key_version, state, basis, mark, kept),
    )
    if accepted.replayed:
        return _send_again(world, counter, accepted)
    state = replace(state, revision=accepted.revision)
    hand_over(world, records_of(counter.token, counter.chat, [Pending(0, accepted.lease, state)]))
    world.meter.count(CHANGES_ACCEPTED)
    return state


def _send_again(world: World, counter: Counter, accepted: Accepted) -> Accepted:
    """What was accepted before may not have reached the queue."""
    hand_over(world, records_of(counter.token, counter.chat, accepted.pending))
    world.meter.count(REPLAYS)
    return accepted
