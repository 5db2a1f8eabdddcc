"""Runs what needs a lease: on a `NotReady`, get what is missing and try again. The protocol's slow path.

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
    ApplicationNotCached,
    Counter,
    IssuedUpTo,
    LeaseContended,
    LeaseExhausted,
    LeaseMissing,
    LeaseReleasing,
    NotReady,
)
from chalicelib.domain.metrics import (
    LEASES_ACQUIRED,
    LEASES_EXTENDED,
    LEASES_REACQUIRED,
    NUMBERS_SKIPPED,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import Ports

_PATIENCE_MS = 4_000
_PAUSE_SECONDS = 0.02
# For so long a chat that was accepted may be on its way although Redis has lost its memory of it: until
# somebody has mended a worker that stands still.
_CHAT_MAY_ARRIVE_MS = 24 * 3600_000


def with_lease[T](ports: Ports, counter: Counter, attempt: Callable[[], T | NotReady]) -> T:
    """Call `attempt` until it returns no `NotReady`. Raises `UnavailableError` when time is up."""
    until = ports.clock.now_ms() + _PATIENCE_MS
    while True:
        result = attempt()
        if not isinstance(result, NotReady):
            return result
        if ports.clock.now_ms() > until:
            raise UnavailableError("no lease could be had in time")
        _supply(ports, counter, result)


def _supply(ports: Ports, counter: Counter, need: NotReady) -> None:
    match need:
        case ApplicationNotCached():
            _load_application(ports, counter.token, need.nonce)
        case LeaseMissing():
            _begin(ports, counter, need)
        case LeaseExhausted():
            _raise(ports, counter, need)
        case LeaseReleasing():
            release_lease(ports, counter, need)
        case LeaseContended():
            ports.clock.wait(_PAUSE_SECONDS)


def _load_application(ports: Ports, token: str, nonce: str) -> None:
    application = ports.store.applications.get_application(token)
    if application is None:
        raise NotFoundError("there is no such application")
    ports.sequencer.cache_application(application, nonce)


def _begin(ports: Ports, counter: Counter, need: LeaseMissing) -> None:
    try:
        epoch = ports.store.leases.lease_epoch(counter)
        if epoch is None:
            raise _missing(ports, counter, need.chats)
    except OrdinalError:
        ports.sequencer.abandon_nonce(counter, need.nonce)
        raise
    if not ports.sequencer.is_acquiring(counter, need.nonce):
        return
    now = rfc3339(ports.clock.now_ms())
    # Where this fails, a lease may have been given: the nonce stays, so that it can be given again.
    with suppress(ConflictError):
        grant = ports.store.leases.acquire_lease(counter, need, epoch, ports.lease_window, now)
        if grant is not None:
            ports.sequencer.install_lease(counter, need.nonce, grant)
            ports.metrics.count(LEASES_REACQUIRED if grant.lost else LEASES_ACQUIRED)
            ports.metrics.count(NUMBERS_SKIPPED, grant.skipped)


def release_lease(ports: Ports, counter: Counter, closing: LeaseReleasing) -> None:
    """Give a closing lease back to MySQL, then forget the counter."""
    with suppress(GoneError):
        ports.store.leases.release_lease(counter, closing)
    ports.sequencer.forget_released(counter, closing)


def _missing(ports: Ports, counter: Counter, chats: IssuedUpTo | None) -> OrdinalError:
    """The counter's row is not there: because it never will be, or because it is not there yet."""
    if counter.chat is None:
        return NotFoundError("there is no such application")
    since = rfc3339(ports.clock.now_ms() - _CHAT_MAY_ARRIVE_MS)
    if ports.store.leases.chat_may_arrive(counter.token, counter.chat, chats, since):
        return UnavailableError("the chat was accepted and is not persisted yet")
    return NotFoundError("there is no such chat")


def _raise(ports: Ports, counter: Counter, need: LeaseExhausted) -> None:
    extended = ports.store.leases.extend_lease(counter, need.lease, ports.lease_window)
    if extended is None:
        ports.sequencer.discard_lease(counter, need.lease)
    else:
        ports.sequencer.extend_lease(counter, extended)
        ports.metrics.count(LEASES_EXTENDED)
