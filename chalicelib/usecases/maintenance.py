"""What the schedule does: repair, purge, release of idle leases, and measuring the backlog."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from chalicelib.domain.leases import Counter
from chalicelib.domain.limits import IDEMPOTENCY_KEY_KEPT_SECONDS
from chalicelib.domain.metrics import DEAD_LETTERS, PENDING_AGE, PENDING_RESENT
from chalicelib.domain.models import Pending
from chalicelib.domain.queue_records import PurgeRecord, records_of
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import enqueue
from chalicelib.usecases.leases import release_lease
from chalicelib.usecases.log_subjects import log_subject
from chalicelib.usecases.ports import Ports

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

_MAX_STATES_A_RUN = 2_000
_MIN_PAUSE_MS = 60_000


def repair_pending(ports: Ports) -> int:
    """How many states were sent again. At most 2,000 a run, so that a long outage ends smoothly.

    The pause before the next time is as long as the state is old, so it doubles: what keeps ending
    in the dead-letter queue is sent ever more seldom, and is the operator's to redrive.
    """
    sent = 0
    for tokens in token_pages(ports.store.applications.list_tokens):
        overdue = islice(
            ports.sequencer.list_overdue(tokens, _MAX_STATES_A_RUN - sent), _MAX_STATES_A_RUN - sent
        )
        for counter, numbers in _by_counter(overdue).items():
            sent += _repair_counter(ports, counter, numbers)
        if sent >= _MAX_STATES_A_RUN:
            break
    return sent


def _by_counter(overdue: Iterable[tuple[Counter, int]]) -> dict[Counter, list[int]]:
    groups: dict[Counter, list[int]] = {}
    for counter, number in overdue:
        groups.setdefault(counter, []).append(number)
    return groups


def _repair_counter(ports: Ports, counter: Counter, numbers: list[int]) -> int:
    pending = {p.state.number: p for p in ports.sequencer.get_pending(counter, numbers)}
    stored = ports.store.messages.revisions(counter, numbers)
    # The worker died before it could tell Redis, or Redis has only the due time.
    is_stored = [n for n in numbers if not _missing(pending.get(n), stored)]
    ports.sequencer.acknowledge({counter: {n: stored.get(n, 0) for n in is_stored}})
    missing = [p for p in pending.values() if _missing(p, stored)]
    enqueue(ports, records_of(counter.token, counter.chat, missing))
    now = ports.clock.now_ms()
    ports.sequencer.postpone(
        counter,
        {p.state.number: now + max(_MIN_PAUSE_MS, now - p.accepted_at_ms) for p in missing},
    )
    if missing:
        identity = log_subject(counter.token, counter.chat, [p.state for p in missing])
        logger.info("sent again", extra=identity.fields())
    ports.metrics.count(PENDING_RESENT, len(missing))
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


def purge_deleted(ports: Ports) -> int:
    """How many chats and applications are now gone whole."""
    now = ports.clock.now_ms()
    ports.store.applications.delete_responses(
        rfc3339(now - IDEMPOTENCY_KEY_KEPT_SECONDS * 1000), _ROWS_A_RUN
    )
    before = rfc3339(now - LAST_REMOVAL_MS)
    gone = ports.store.purge.purge_deleted(before, _ROWS_A_RUN)
    ports.queues.send(PurgeRecord(token=token, chat=chat) for token, chat in gone)
    for token, chat in gone:
        if chat is None:
            ports.sequencer.forget_application(token)
    ports.store.purge.confirm_purged(gone)
    return len(gone)


# Give the leases of quiet counters back, so that Redis holds what is active and not what ever was.
#
# Nothing is skipped: MySQL takes the ceiling down to the last number given, and the next lease begins there.

# The first write to a quiet chat costs two round trips to MySQL; who writes once an hour does not notice.
QUIET_MS = 3_600_000
_MAX_STATES_A_RUN = 2_000


def release_idle_leases(ports: Ports, idle_ms: int = QUIET_MS) -> int:
    """How many leases were given back. At most 2,000 a run; the rest comes with the next ones."""
    closed = 0
    for tokens in token_pages(ports.store.applications.list_tokens):
        idle = ports.sequencer.list_idle(tokens, idle_ms, _MAX_STATES_A_RUN - closed)
        for counter in islice(idle, _MAX_STATES_A_RUN - closed):
            if closing := ports.sequencer.mark_releasing(counter, idle_ms):
                release_lease(ports, counter, closing)
                closed += 1
        if closed >= _MAX_STATES_A_RUN:
            break
    return closed


# Measure what waits: how old the oldest pending state is, and how many dead letters there are.


def measure_pending(ports: Ports) -> int:
    """Milliseconds since the oldest pending state of all applications was accepted; 0 without any."""
    now = ports.clock.now_ms()
    found = [
        ports.sequencer.oldest_pending(tokens)
        for tokens in token_pages(ports.store.applications.list_tokens)
    ]
    age = max((now - at for at in found if at is not None), default=0)
    ports.metrics.measure(PENDING_AGE, age)
    return age


def measure_dead_letters(ports: Ports) -> int:
    """How many records are in the dead-letter queues."""
    depths = ports.queues.dead_letters()
    for queue, depth in depths.items():
        ports.metrics.measure(DEAD_LETTERS, depth, dimension=queue)
    return sum(depths.values())
