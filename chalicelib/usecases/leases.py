"""Runs what needs a lease: on a `Need`, get what is missing and try again. The protocol's slow path.

No number leaves a memory that holds no lease; the scripts guard that. This module only moves leases
from MySQL to Redis, and every step of it may be lost, late or doubled without harm:

- of two that begin at once, only one is installed, and a caller that was paused finds its nonce gone;
- what was given and never installed is given again, so nothing is skipped while Redis keeps its memory:
  MySQL gives a lease only while its epoch is the one that was seen when the nonce was still there, so
  whoever took over has either been seen, or finds its own attempt refused;
- a lease that is closing hands out nothing, so giving it back twice, or late, changes nothing.
"""

from collections.abc import Callable
from contextlib import suppress

from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    NotFoundError,
    OrdinalError,
    UnavailableError,
)
from chalicelib.domain.leases import (
    Counter,
    Given,
    Need,
    NeedApplication,
    NeedBegin,
    NeedClose,
    NeedRaise,
    NeedWait,
)
from chalicelib.domain.metrics import (
    LEASES_BEGUN,
    LEASES_BEGUN_ANEW,
    LEASES_RAISED,
    NUMBERS_SKIPPED,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import World

_PATIENCE_MS = 4_000
_PAUSE_SECONDS = 0.02
# For so long a chat that was accepted may be on its way although Redis has lost its memory of it: until
# somebody has mended a worker that stands still.
_CHAT_MAY_COME_MS = 24 * 3600_000


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
            _load_application(world, counter.token, need.nonce)
        case NeedBegin():
            _begin(world, counter, need)
        case NeedRaise():
            _raise(world, counter, need)
        case NeedClose():
            close_lease(world, counter, need)
        case NeedWait():
            world.clock.wait(_PAUSE_SECONDS)


def _load_application(world: World, token: str, nonce: str) -> None:
    application = world.store.get_application(token)
    if application is None:
        raise NotFoundError("there is no such application")
    world.ledger.remember_application(application, nonce)


def _begin(world: World, counter: Counter, need: NeedBegin) -> None:
    try:
        epoch = world.store.lease_epoch(counter)
        if epoch is None:
            raise _missing(world, counter, need.chats)
    except OrdinalError:
        world.ledger.drop_nonce(counter, need.nonce)
        raise
    if not world.ledger.is_beginning(counter, need.nonce):
        return
    now = rfc3339(world.clock.now_ms())
    # Where this fails, a lease may have been given: the nonce stays, so that it can be given again.
    with suppress(ConflictError):
        begun = world.store.begin_lease(counter, need, epoch, world.lease_window, now)
        if begun is not None:
            world.ledger.install_lease(counter, need.nonce, begun)
            world.meter.count(LEASES_BEGUN_ANEW if begun.lost else LEASES_BEGUN)
            world.meter.count(NUMBERS_SKIPPED, begun.skipped)


def close_lease(world: World, counter: Counter, closing: NeedClose) -> None:
    """Give a closing lease back to MySQL, then forget the counter."""
    with suppress(GoneError):
        world.store.close_lease(counter, closing)
    world.ledger.finish_closing(counter, closing)


def _missing(world: World, counter: Counter, chats: Given | None) -> OrdinalError:
    """The counter's row is not there: because it never will be, or because it is not there yet."""
    if counter.chat is None:
        return NotFoundError("there is no such application")
    since = rfc3339(world.clock.now_ms() - _CHAT_MAY_COME_MS)
    if world.store.chat_may_come(counter.token, counter.chat, chats, since):
        return UnavailableError("the chat was accepted and is not persisted yet")
    return NotFoundError("there is no such chat")


def _raise(world: World, counter: Counter, need: NeedRaise) -> None:
    raised = world.store.raise_lease(counter, need.lease, world.lease_window)
    if raised is None:
        world.ledger.release_lease(counter, need.lease)
    else:
        world.ledger.raise_lease(counter, raised)
        world.meter.count(LEASES_RAISED)
