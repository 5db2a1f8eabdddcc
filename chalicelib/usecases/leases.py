"""Get what a script needs to issue numbers, mostly a lease, and run it again: the protocol's slow path.

The scripts guarantee that no incarnation of Redis issues a number without a lease. This module only moves
leases from MySQL to Redis. Each of its steps may be lost, late or run twice without harm:

- If two callers acquire a lease at once, only one lease is installed. A caller that was paused finds that its
  nonce was replaced.
- A range that was granted and never installed is granted again, so no number is skipped while Redis keeps its
  incarnation. MySQL grants a lease only if the epoch is still the one that was read while the nonce was in
  Redis. So a caller that took over has either been seen, or its own attempt is refused.
- A lease that is being released issues no numbers, so giving it back twice, or late, changes nothing.
"""

from collections.abc import Mapping

from chalicelib.domain.errors import (
    ConflictError,
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
from chalicelib.domain.models import AppToken
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import Ports

_PAUSE_SECONDS = 0.02
# How long a chat that was accepted by a lost incarnation may still be on its way: the time in which somebody
# repairs a worker that does not run.
_CHAT_MAY_ARRIVE_MS = 24 * 3600_000


def release_leases(ports: Ports, releasing: Mapping[Counter, LeaseReleasing]) -> None:
    """Give leases back to MySQL, then remove their counters from Redis."""
    if releasing:
        ports.store.leases.release_leases(releasing)
        ports.sequencer.forget_released(releasing)


def make_ready(ports: Ports, counter: Counter, not_ready: NotReady) -> None:
    """One step towards a lease. The caller then runs its script again."""
    match not_ready:
        case ApplicationNotCached():
            _load_application(ports, counter.token, not_ready.nonce)
        case LeaseMissing():
            _acquire(ports, counter, not_ready)
        case LeaseExhausted():
            _extend(ports, counter, not_ready)
        case LeaseReleasing():
            release_leases(ports, {counter: not_ready})
        case LeaseContended():
            ports.clock.wait(_PAUSE_SECONDS)


def _load_application(ports: Ports, token: AppToken, nonce: str) -> None:
    application = ports.store.applications.get_application(token)
    if application is None:
        raise NotFoundError("there is no such application")
    ports.sequencer.cache_application(application, nonce)


def _acquire(ports: Ports, counter: Counter, missing: LeaseMissing) -> None:
    try:
        epoch = ports.store.leases.lease_epoch(counter)
        if epoch is None:
            raise _no_row(ports, counter, missing.chats)
    except OrdinalError as error:
        is_absent = isinstance(error, NotFoundError) and counter.chat is not None
        ports.sequencer.abandon_nonce(counter, missing.nonce, is_absent)
        raise
    if not ports.sequencer.is_acquiring(counter, missing):
        return
    now = rfc3339(ports.clock.now_ms())
    # If this fails, MySQL may have granted a lease. The nonce stays, so that the range is granted again.
    try:
        grant = ports.store.leases.acquire_lease(counter, missing, epoch, ports.lease_window, now)
    except ConflictError:
        # Nothing was granted. With its nonce, this caller would wait for itself.
        ports.sequencer.abandon_nonce(counter, missing.nonce)
        return
    if grant is not None:
        ports.sequencer.install_lease(counter, missing.nonce, grant)
        ports.metrics.count(LEASES_REACQUIRED if grant.lost else LEASES_ACQUIRED)
        ports.metrics.count(NUMBERS_SKIPPED, grant.skipped)


def _no_row(ports: Ports, counter: Counter, chats: IssuedUpTo | None) -> OrdinalError:
    """The error for a counter without a row: there will never be one, or it is not stored yet."""
    if counter.chat is None:
        return NotFoundError("there is no such application")
    since = rfc3339(ports.clock.now_ms() - _CHAT_MAY_ARRIVE_MS)
    if ports.store.leases.chat_may_arrive(counter.token, counter.chat, chats, since):
        return UnavailableError("the chat was accepted and is not persisted yet")
    return NotFoundError("there is no such chat")


def _extend(ports: Ports, counter: Counter, exhausted: LeaseExhausted) -> None:
    now = rfc3339(ports.clock.now_ms())
    extended = ports.store.leases.extend_lease(counter, exhausted.lease, ports.lease_window, now)
    if extended is None:
        ports.sequencer.discard_lease(counter, exhausted.lease)
    else:
        ports.sequencer.extend_lease(counter, extended)
        ports.metrics.count(LEASES_EXTENDED)
