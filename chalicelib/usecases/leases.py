"""Runs what needs a lease: on a `Need`, get what is missing and try again. The protocol's slow path.

No number leaves a memory that holds no lease; the scripts guard that. This module only moves leases
from MySQL to Redis, and every step of it may be lost, late or doubled without harm:

- a begin that is given twice wastes a range of numbers, because only one of the two is installed;
- a caller that was paused finds its nonce gone and starts again.
"""

from collections.abc import Callable

from chalicelib.domain.errors import NotFoundError, OrdinalError, UnavailableError
from chalicelib.domain.numbering import (
    Counter,
    Need,
    NeedApplication,
    NeedBegin,
    NeedRaise,
    NeedWait,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import World

_PATIENCE_MS = 4_000
_PAUSE_SECONDS = 0.02
# For so long a chat that was accepted may be on its way although Redis has lost its memory of it.
_CHAT_MAY_COME_MS = 15 * 60_000


def with_lease[T](world: World, counter: Counter, attempt: Callable[[], T | Need]) -> T:
    """Call `attempt` until it is no longer a `Need`. Raises `UnavailableError` when time is up."""
    until = world.clock.now_ms() + _PATIENCE_MS
    while True:
        result = attempt()
        if not isinstance(result, Need):
            return result
        if world.clock.now_ms() > until:
            raise UnavailableError("no lease could be had in time")
        _supply(world, counter, result)


def _supply(world: World, counter: Counter, need: Need) -> None:
    match need:
        case NeedApplication():
            _load_application(world, counter.token)
        case NeedBegin():
            _begin(world, counter, need)
        case NeedRaise():
            _raise(world, counter, need)
        case NeedWait():
            world.clock.wait(_PAUSE_SECONDS)


def _load_application(world: World, token: str) -> None:
    application = world.store.get_application(token)
    if application is None:
        raise NotFoundError("there is no such application")
    world.ledger.remember_application(token, application.key_version)


def _begin(world: World, counter: Counter, need: NeedBegin) -> None:
    try:
        now = rfc3339(world.clock.now_ms())
        begun = world.store.begin_lease(counter, need.holder, world.lease_window, now)
        if begun is None:
            raise _missing(world, counter, need.last_chat)
    except Exception:
        world.ledger.drop_nonce(counter, need.nonce)
        raise
    world.ledger.install_lease(counter, need.nonce, begun)


def _missing(world: World, counter: Counter, last_chat: int | None) -> OrdinalError:
    """The counter's row is not there: because it never will be, or because it is not there yet."""
    if counter.chat is None:
        return NotFoundError("there is no such application")
    since = rfc3339(world.clock.now_ms() - _CHAT_MAY_COME_MS)
    if world.store.chat_may_come(counter.token, counter.chat, last_chat, since):
        return UnavailableError("the chat was accepted and is not persisted yet")
    return NotFoundError("there is no such chat")


def _raise(world: World, counter: Counter, need: NeedRaise) -> None:
    raised = world.store.raise_lease(counter, need.lease, world.lease_window)
    if raised is None:
        world.ledger.release_lease(counter, need.lease)
    else:
        world.ledger.raise_lease(counter, raised)
