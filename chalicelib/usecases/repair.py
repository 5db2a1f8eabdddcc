"""Resend what was accepted and is not persisted: a function died, or a send failed.

A chunk of work has at most `_VERSIONS_PER_CHUNK` versions, so at most 5 MB. It is postponed before it is
sent: a run that is killed has made progress, and the next run starts with other versions.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import batched

from chalicelib.domain.errors import OrdinalError, OutageError
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import PENDING_AGE, PENDING_RESENT
from chalicelib.domain.models import AppToken, Pending
from chalicelib.domain.queue_records import records_of
from chalicelib.domain.times import Deadline
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import log_subject
from chalicelib.usecases.rounds import FAILURES, Round, TaskResult

logger = logging.getLogger(__name__)

# A version has at most 128 KB: a body of 20,000 characters, each written as `\u0001`, and its other fields.
_VERSIONS_PER_CHUNK = 40
# What one application gets before the others have had their turns.
_CHUNKS_PER_TURN = 5
_MIN_PAUSE_MS = 60_000

type Numbers = dict[Counter, list[int]]


def repair_pending(ports: Ports, deadline: Deadline) -> TaskResult:
    """Resend overdue pending versions, a few of each application in turn; counts the resent ones.

    The pause before the next resend is as long as the version was pending, so it doubles. A version whose
    records end in the dead-letter queue is resent less and less often, until the operator redrives it.
    """
    return _Repair(ports, deadline).run()


class _Repair:
    """One run."""

    def __init__(self, ports: Ports, deadline: Deadline) -> None:
        self._ports = ports
        self._round = Round(ports, "repair_pending", deadline)
        self._result = TaskResult(errors=self._round.errors)
        self._oldest_ms: int | None = None

    def run(self) -> TaskResult:
        self._round.take_turns(self._repair_application, self._list_overdue)
        self._round.save()
        # Versions whose send fails are due at other times than the ones that `oldest_pending` reads.
        if self._oldest_ms is not None:
            age = self._ports.clock.now_ms() - self._oldest_ms
            self._ports.metrics.measure(PENDING_AGE, age)
        return self._result

    def _list_overdue(self, tokens: Sequence[AppToken]) -> Iterable[AppToken]:
        """Those of the applications that have an overdue version."""
        return (counter.token for counter, _ in self._ports.sequencer.list_overdue(tokens, 1))

    def _repair_application(self, token: AppToken) -> bool:
        """Resend some overdue versions. Returns whether more are overdue."""
        limit = _VERSIONS_PER_CHUNK * _CHUNKS_PER_TURN
        overdue = self._ports.sequencer.list_overdue([token], limit)
        failures = len(self._round.errors)
        for chunk in batched(overdue, _VERSIONS_PER_CHUNK):
            if not self._round.deadline.allows_step():
                return True
            numbers: Numbers = {}
            for counter, number in chunk:
                numbers.setdefault(counter, []).append(number)
            with self._round.deadline.step():
                self._repair(numbers)
        return len(overdue) == limit and len(self._round.errors) == failures

    def _repair(self, numbers: Numbers) -> None:
        """Resend a chunk. If that fails, each counter is tried alone: its versions are its own failure.

        If a part is away, that is everybody's, and the next run tries again.
        """
        try:
            resent = self._resend(numbers)
        except FAILURES as error:
            if len(numbers) == 1 or isinstance(error, OutageError):
                self._round.errors.append(error)
                return
            for counter, own in numbers.items():
                self._repair({counter: own})
        else:
            self._result.count += resent
            self._ports.metrics.count(PENDING_RESENT, resent)

    def _resend(self, numbers: Numbers) -> int:
        ports = self._ports
        pending = ports.sequencer.get_pending(numbers)
        stored = ports.store.messages.revisions(numbers)
        missing = {
            counter: [entry for entry in entries if _is_missing(entry, stored[counter])]
            for counter, entries in pending.items()
        }
        # Stored, or not pending: the worker died before it acknowledged them, or Redis has only the due time.
        done = {
            counter: {n: stored[counter].get(n, 0) for n in _without(own, missing[counter])}
            for counter, own in numbers.items()
        }
        ports.sequencer.acknowledge({counter: own for counter, own in done.items() if own})
        missing = {counter: entries for counter, entries in missing.items() if entries}
        if not missing:
            return 0
        self._postpone(missing)
        records = [
            record
            for counter, entries in missing.items()
            for record in records_of(counter.token, counter.chat, entries)
        ]
        try:
            ports.queues.send(records)
        except OrdinalError:
            self._postpone(missing, max_pause_ms=_MIN_PAUSE_MS)
            raise
        for counter, entries in missing.items():
            subject = log_subject(counter.token, counter.chat, [entry.version for entry in entries])
            logger.info("resent", extra=subject.fields())
        return sum(map(len, missing.values()))

    def _postpone(
        self, missing: Mapping[Counter, Sequence[Pending]], max_pause_ms: float = float("inf")
    ) -> None:
        now = self._ports.clock.now_ms()
        oldest_ms = min(e.accepted_at_ms for entries in missing.values() for e in entries)
        self._oldest_ms = min(oldest_ms, self._oldest_ms or oldest_ms)

        def due_at_ms(entry: Pending) -> int:
            return now + int(min(max(_MIN_PAUSE_MS, now - entry.accepted_at_ms), max_pause_ms))

        self._ports.sequencer.postpone(
            {
                counter: {entry.version.number: due_at_ms(entry) for entry in entries}
                for counter, entries in missing.items()
            }
        )


def _is_missing(entry: Pending, stored: Mapping[int, int]) -> bool:
    return stored.get(entry.version.number, 0) < entry.version.revision


def _without(numbers: Iterable[int], entries: Iterable[Pending]) -> list[int]:
    left_out = {entry.version.number for entry in entries}
    return [number for number in numbers if number not in left_out]
