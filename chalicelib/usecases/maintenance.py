"""The tasks of the schedule: repair, purge, release of idle leases, and measuring the backlog."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from chalicelib.domain.leases import Counter
from chalicelib.domain.limits import IDEMPOTENCY_KEY_LIFETIME_SECONDS
from chalicelib.domain.metrics import DEAD_LETTERS, PENDING_AGE, PENDING_RESENT
from chalicelib.domain.models import AppToken, Pending
from chalicelib.domain.queue_records import PurgeRecord, records_of
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import enqueue
from chalicelib.usecases.leases import release_lease
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import log_subject

logger = logging.getLogger(__name__)

ListTokens = Callable[[AppToken | None, int], list[AppToken]]

# One round trip serves all applications of a page.
_TOKENS_PER_PAGE = 500
# A long outage must not end with one very long run.
_MAX_RESENT_PER_RUN = 2_000
_MAX_RELEASED_PER_RUN = 2_000
_MAX_ROWS_PER_RUN = 10_000
_MIN_PAUSE_MS = 60_000
# After this time, the index removes a deleted chat for the last time. Records of the chat may be on their way
# until then: `index_messages` drops those that come later.
LAST_REMOVAL_MS = 15 * 60_000
# The first write to an idle chat costs two round trips to MySQL. A client that writes once an hour does not
# notice them.
IDLE_MS = 3_600_000


def token_pages(list_tokens: ListTokens) -> Iterator[list[AppToken]]:
    """The tokens of all applications, in the order of creation. `list_tokens` is the store's."""
    after: AppToken | None = None
    while tokens := list_tokens(after, _TOKENS_PER_PAGE):
        yield tokens
        after = tokens[-1]


def repair_pending(ports: Ports) -> int:
    """Resend overdue pending versions; returns how many. A function died, or a send failed.

    The pause before the next resend is as long as the version was pending, so it doubles. A version whose
    records end in the dead-letter queue is resent less and less often, until the operator redrives it.
    """
    resent = 0
    for tokens in token_pages(ports.store.applications.list_tokens):
        limit = _MAX_RESENT_PER_RUN - resent
        overdue = islice(ports.sequencer.list_overdue(tokens, limit), limit)
        for counter, numbers in _by_counter(overdue).items():
            resent += _repair_counter(ports, counter, numbers)
        if resent >= _MAX_RESENT_PER_RUN:
            break
    return resent


def purge_deleted(ports: Ports) -> int:
    """Remove some rows of deleted chats and applications; returns how many of these are now empty.

    Stored responses of idempotent requests are removed after 24 hours.
    """
    now = ports.clock.now_ms()
    ports.store.applications.delete_responses(
        rfc3339(now - IDEMPOTENCY_KEY_LIFETIME_SECONDS * 1000), _MAX_ROWS_PER_RUN
    )
    before = rfc3339(now - LAST_REMOVAL_MS)
    purged = ports.store.purge.purge_deleted(before, _MAX_ROWS_PER_RUN)
    ports.queues.send(PurgeRecord(token=item.token, chat=item.chat) for item in purged)
    for item in purged:
        if item.chat is None:
            ports.sequencer.forget_application(item.token)
    ports.store.purge.confirm_purged(purged)
    return len(purged)


def release_idle_leases(ports: Ports, idle_ms: int = IDLE_MS) -> int:
    """Give the leases of idle counters back, so that Redis holds only active ones; returns how many.

    No number is skipped: MySQL lowers the ceiling to the last issued number, and the next lease starts there.
    """
    released = 0
    for tokens in token_pages(ports.store.applications.list_tokens):
        limit = _MAX_RELEASED_PER_RUN - released
        for counter in islice(ports.sequencer.list_idle(tokens, idle_ms, limit), limit):
            if releasing := ports.sequencer.mark_releasing(counter, idle_ms):
                release_lease(ports, counter, releasing)
                released += 1
        if released >= _MAX_RELEASED_PER_RUN:
            break
    return released


def measure_pending(ports: Ports) -> int:
    """The age of the oldest pending version of all applications, in milliseconds; 0 if none is pending."""
    now = ports.clock.now_ms()
    accepted_at = [
        ports.sequencer.oldest_pending(tokens)
        for tokens in token_pages(ports.store.applications.list_tokens)
    ]
    age = max((now - ms for ms in accepted_at if ms is not None), default=0)
    ports.metrics.measure(PENDING_AGE, age)
    return age


def measure_dead_letters(ports: Ports) -> int:
    """How many records are in the dead-letter queues."""
    depths = ports.queues.dead_letters()
    for queue, depth in depths.items():
        ports.metrics.measure(DEAD_LETTERS, depth, dimension=queue)
    return sum(depths.values())


def _by_counter(overdue: Iterable[tuple[Counter, int]]) -> dict[Counter, list[int]]:
    groups: dict[Counter, list[int]] = {}
    for counter, number in overdue:
        groups.setdefault(counter, []).append(number)
    return groups


def _repair_counter(ports: Ports, counter: Counter, numbers: list[int]) -> int:
    pending: dict[int, Pending] = {
        entry.version.number: entry for entry in ports.sequencer.get_pending(counter, numbers)
    }
    stored = ports.store.messages.revisions(counter, numbers)
    # Stored, or not pending: the worker died before it acknowledged them, or Redis has only the due time.
    done = [n for n in numbers if n not in pending or not _is_missing(pending[n], stored)]
    ports.sequencer.acknowledge({counter: {n: stored.get(n, 0) for n in done}})
    missing = [entry for entry in pending.values() if _is_missing(entry, stored)]
    enqueue(ports, records_of(counter.token, counter.chat, missing))
    now = ports.clock.now_ms()
    due_at_ms: dict[int, int] = {
        entry.version.number: now + max(_MIN_PAUSE_MS, now - entry.accepted_at_ms)
        for entry in missing
    }
    ports.sequencer.postpone(counter, due_at_ms)
    if missing:
        subject = log_subject(counter.token, counter.chat, [entry.version for entry in missing])
        logger.info("resent", extra=subject.fields())
    ports.metrics.count(PENDING_RESENT, len(missing))
    return len(missing)


def _is_missing(entry: Pending, stored: dict[int, int]) -> bool:
    return stored.get(entry.version.number, 0) < entry.version.revision
