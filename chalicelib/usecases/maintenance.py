"""What the schedule does: repair, purge, release of idle leases, and measuring the backlog."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from chalicelib.domain.leases import Counter
from chalicelib.domain.limits import IDEMPOTENCY_KEY_KEPT_SECONDS
from chalicelib.domain.metrics import DEAD_LETTERS, PENDING_AGE, SENT_AGAIN
from chalicelib.domain.models import Pending
from chalicelib.domain.queue_records import PurgeRecord, records_of
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import hand_over
from chalicelib.usecases.leases import close_lease
from chalicelib.usecases.log_subjects import identity_of
from chalicelib.usecases.ports import World

# Walks all applications, a page of tokens at a time, so that as many are asked about in one round trip.

_TOKENS_A_PAGE = 500

ListTokens = Callable[[str | None, int], list[str]]


def token_pages(list_tokens: ListTokens) -> Iterator[list[str]]:
    """Tokens in the order of creation; `list_tokens` is the store's."""
    after: str | None = None
    while tokens := list_tokens(after, _TOKENS_A_PAGE):
        yield tokens
        after = tokens[-1]


# Send overdue pending states again: the API died between the script and the send, or the send failed.

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


# Remove, a little at a time, what deleted chats and applications held, and answers kept long enough.

_ROWS_A_RUN = 10_000
# Records of a deleted chat may still be on their way to the index; the last removal comes after those that
# `index_messages` takes unasked.
LAST_REMOVAL_MS = 15 * 60_000


def purge_deleted(world: World) -> int:
    """How many chats and applications are now gone whole."""
    now = world.clock.now_ms()
    world.store.drop_answers(rfc3339(now - IDEMPOTENCY_KEY_KEPT_SECONDS * 1000), _ROWS_A_RUN)
    before = rfc3339(now - LAST_REMOVAL_MS)
    gone = world.store.purge(before, _ROWS_A_RUN)
    world.queues.send(PurgeRecord(token=token, chat=chat) for token, chat in gone)
    for token, chat in gone:
        if chat is None:
            world.ledger.erase_application(token)
    world.store.forget(gone)
    return len(gone)


# Give the leases of quiet counters back, so that Redis holds what is active and not what ever was.
#
# Nothing is skipped: MySQL takes the ceiling down to the last number given, and the next lease begins there.

# The first write to a quiet chat costs two round trips to MySQL; who writes once an hour does not notice.
QUIET_MS = 3_600_000
_MOST_A_RUN = 2_000


def close_leases(world: World, quiet_ms: int = QUIET_MS) -> int:
    """How many leases were given back. At most 2,000 a run; the rest comes with the next ones."""
    closed = 0
    for tokens in token_pages(world.store.list_tokens):
        quiet = world.ledger.quiet(tokens, quiet_ms, _MOST_A_RUN - closed)
        for counter in islice(quiet, _MOST_A_RUN - closed):
            if closing := world.ledger.start_closing(counter, quiet_ms):
                close_lease(world, counter, closing)
                closed += 1
        if closed >= _MOST_A_RUN:
            break
    return closed


# Measure what waits: how old the oldest pending state is, and how many dead letters there are.


def measure_pending(world: World) -> int:
    """Milliseconds since the oldest pending state of all applications was accepted; 0 without any."""
    now = world.clock.now_ms()
    found = [world.ledger.oldest_pending(tokens) for tokens in token_pages(world.store.list_tokens)]
    age = max((now - at for at in found if at is not None), default=0)
    world.meter.measure(PENDING_AGE, age)
    return age


def measure_dead_letters(world: World) -> int:
    """How many records are in the dead-letter queues."""
    depths = world.queues.dead_letters()
    for queue, depth in depths.items():
        world.meter.measure(DEAD_LETTERS, depth, of=queue)
    return sum(depths.values())
