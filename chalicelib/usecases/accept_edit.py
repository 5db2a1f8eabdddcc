"""Edit or delete a chat or a message: read the current state, change it, accept it if still current."""

from collections.abc import Callable

from msgspec.structs import replace

from chalicelib.domain.errors import ConflictError, RevisionMismatchError
from chalicelib.domain.metrics import CHANGES_ACCEPTED
from chalicelib.domain.numbering import Counter
from chalicelib.domain.records import Chat, ChatRow, Message, Pending, records_of
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import Current, current_chat, current_message
from chalicelib.usecases.hand_over import hand_over
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import World

_ATTEMPTS = 12
_PAUSE_SECONDS = 0.01
_PATIENCE_MS = 2_000


def edit_message(
    world: World,
    tenant: Tenant,
    chat: int,
    number: int,
    change: Callable[[Message], Message],
    if_match: int | None = None,
) -> Message:
    """The new state as it was accepted. `if_match` is the revision that the client has seen.

    Raises `NotFoundError`, `GoneError`, `RevisionMismatchError`; `ConflictError` where others kept
    changing messages of the chat for seconds.
    """

    def read() -> Current[Message]:
        return current_message(world, tenant, chat, number)

    return _accept_edit(world, tenant, Counter(tenant.token, chat), read, change, if_match)


def edit_chat(
    world: World,
    tenant: Tenant,
    number: int,
    change: Callable[[Chat], Chat],
    if_match: int | None = None,
) -> ChatRow:
    """The new state as it was accepted, with the chat's counts. Raises as `edit_message`."""
    row: ChatRow

    def read() -> Current[Chat]:
        nonlocal row
        row, edits = current_chat(world, tenant, number)
        return Current(row.chat, edits)

    chat = _accept_edit(world, tenant, Counter(tenant.token), read, change, if_match)
    return replace(row, chat=chat)


def _accept_edit[T: (Message, Chat)](
    world: World,
    tenant: Tenant,
    counter: Counter,
    read: Callable[[], Current[T]],
    change: Callable[[T], T],
    if_match: int | None,
) -> T:
    until = world.clock.now_ms() + _PATIENCE_MS
    for attempt in range(_ATTEMPTS):
        current = read()
        base = current.state.revision
        if if_match is not None and if_match != base:
            raise RevisionMismatchError(f"the current revision is {base}")
        try:
            return _accept_once(world, tenant, counter, current, change(current.state))
        except ConflictError:
            if world.clock.now_ms() > until:
                break
            world.clock.wait(_PAUSE_SECONDS * attempt)
    raise ConflictError("others kept changing the same chat; try again")


def _accept_once[T: (Message, Chat)](
    world: World, tenant: Tenant, counter: Counter, current: Current[T], state: T
) -> T:
    base, edits = current.state.revision, current.edits
    accepted = with_lease(
        world,
        counter,
        lambda: world.ledger.edit(counter, tenant.key_version, state, base, edits),
    )
    state = replace(state, revision=accepted.revision)
    hand_over(world, records_of(counter.token, counter.chat, [Pending(0, accepted.lease, state)]))
    world.meter.count(CHANGES_ACCEPTED)
    return state
