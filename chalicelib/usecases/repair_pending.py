"""Send overdue pending states again: the API died between the script and the send, or the send failed."""

import logging
from collections.abc import Iterable
from itertools import islice

from chalicelib.domain.identity import identity_of
from chalicelib.domain.metrics import SENT_AGAIN
from chalicelib.domain.numbering import Counter
from chalicelib.domain.records import Pending, records_of
from chalicelib.usecases.hand_over import hand_over
from chalicelib.usecases.ports import World
from chalicelib.usecases.token_pages import token_pages

logger = logging.getLogger(__name__)

_MOST_A_RUN = 2_000
_LEAST_PAUSE_MS = 60_000


def repair_pending(world: World) -> int:
    """How many states were sent again. At most 2,000 a run, so that a long outage ends smoothly.

    The pause before the next time is as long as the state is old, so it doubles: what keeps ending
    in the dead-letter queue is sent ever more seldom, and is the operator's to redrive.
    """
    sent = 0
    for tokens in token_pages(world.store.list_tokens):
        overdue = islice(world.ledger.overdue(tokens, _MOST_A_RUN - sent), _MOST_A_RUN - sent)
        for counter, numbers in _by_counter(overdue).items():
            sent += _repair_counter(world, counter, numbers)
        if sent >= _MOST_A_RUN:
            break
    return sent


def _by_counter(overdue: Iterable[tuple[Counter, int]]) -> dict[Counter, list[int]]:
    groups: dict[Counter, list[int]] = {}
    for counter, number in overdue:
        groups.setdefault(counter, []).append(number)
    return groups


def _repair_counter(world: World, counter: Counter, numbers: list[int]) -> int:
    pending = {p.state.number: p for p in world.ledger.take_overdue(counter, numbers)}
    stored = world.store.revisions(counter, numbers)
    # The worker died before it could tell Redis, or Redis has only the due time.
    is_stored = [n for n in numbers if not _missing(pending.get(n), stored)]
    world.ledger.settle({counter: {n: stored.get(n, 0) for n in is_stored}})
    missing = [p for p in pending.values() if _missing(p, stored)]
    hand_over(world, records_of(counter.token, counter.chat, missing))
    now = world.clock.now_ms()
    world.ledger.postpone(
        counter,
        {p.state.number: now + max(_LEAST_PAUSE_MS, now - p.accepted_at_ms) for p in missing},
    )
    if missing:
        identity = identity_of(counter.token, counter.chat, [p.state for p in missing])
        logger.info("sent again", extra=identity.fields())
    world.meter.count(SENT_AGAIN, len(missing))
    return len(missing)


def _missing(pending: Pending | None, stored: dict[int, int]) -> bool:
    if pending is None:
        return False
    return stored.get(pending.state.number, 0) < pending.state.revision
