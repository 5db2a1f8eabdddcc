"""Tasks of the schedule: measure the backlog, remove what was deleted, release idle leases."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from chalicelib.domain.errors import OrdinalError, UnavailableError
from chalicelib.domain.limits import IDEMPOTENCY_KEY_LIFETIME_SECONDS
from chalicelib.domain.metrics import DEAD_LETTERS, PENDING_AGE
from chalicelib.domain.models import AppToken
from chalicelib.domain.queue_records import PurgeRecord
from chalicelib.domain.times import Deadline, rfc3339
from chalicelib.usecases.leases import release_leases
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.rounds import Round, TaskResult

# One transaction and three round trips to Redis release so many leases.
_LEASES_PER_TURN = 500
_RESPONSES_PER_STEP = 1_000
# Rows of one transaction of the purge. A step that MySQL could not do in time is tried with fewer.
_ROWS_PER_STEP = 500
_FEWER = 4
# After this time no record of a deleted chat is on its way any more: `index_messages` drops those that come
# later. Then the chat's rows and documents are removed.
LAST_REMOVAL_MS = 15 * 60_000
# The first write to an idle chat costs two round trips to MySQL. A client that writes once an hour does not
# notice them.
IDLE_MS = 3_600_000


def measure_backlog(ports: Ports, deadline: Deadline) -> TaskResult:
    """Measure the dead-letter queues and the age of the oldest pending version. Counts the dead letters."""
    result = TaskResult()
    try:
        for queue, depth in ports.queues.dead_letters().items():
            ports.metrics.measure(DEAD_LETTERS, depth, dimension=queue)
            result.count += depth
    except OrdinalError as error:
        result.errors.append(error)
    result.errors += _measure_oldest_pending(ports, deadline)
    return result


def _measure_oldest_pending(ports: Ports, deadline: Deadline) -> list[Exception]:
    """Measure the age of the oldest pending version of all applications; 0 if none is pending.

    If a run does not reach all applications, earlier runs have measured the others: then the oldest version
    of this round and of the round before counts, which may be stored meanwhile.
    """
    round_ = Round(ports, "measure_backlog", deadline)
    oldest = _earliest(round_.read(ports.sequencer.oldest_pending))
    state = round_.state
    if round_.is_complete:
        known = oldest
        state = replace(state, oldest_at_ms=None, previous_oldest_at_ms=oldest)
    else:
        known = _earliest([oldest, state.oldest_at_ms, state.previous_oldest_at_ms])
        of_round = _earliest([oldest, state.oldest_at_ms])
        if round_.is_wrapped:
            state = replace(state, oldest_at_ms=oldest, previous_oldest_at_ms=of_round)
        else:
            state = replace(state, oldest_at_ms=of_round)
    round_.state = state
    round_.save()
    age = 0 if known is None else max(0, ports.clock.now_ms() - known)
    ports.metrics.measure(PENDING_AGE, age)
    return round_.errors


def _earliest(times: Iterable[int | None]) -> int | None:
    return min((at for at in times if at is not None), default=None)


def purge_deleted(ports: Ports, deadline: Deadline) -> TaskResult:
    """Remove rows of deleted chats and applications, a few of each application in turn.

    Counts the chats and applications that are removed completely. Stored responses of idempotent requests
    are removed after 24 hours.
    """
    now, purge, sequencer = ports.clock.now_ms(), ports.store.purge, ports.sequencer
    _delete_responses(ports, deadline, now - IDEMPOTENCY_KEY_LIFETIME_SECONDS * 1000)
    before = rfc3339(now - LAST_REMOVAL_MS)
    round_ = Round(
        ports, "purge_deleted", deadline, lambda after: purge.list_purgeable(after, before)
    )
    result = TaskResult(errors=round_.errors)
    rows: defaultdict[AppToken, int] = defaultdict(lambda: _ROWS_PER_STEP)

    def take_turn(token: AppToken) -> bool:
        try:
            step = purge.remove_rows(token, before, rows[token])
        except UnavailableError as error:
            rows[token] //= _FEWER
            if rows[token]:
                return True
            raise error
        ports.queues.send(PurgeRecord(token=item.token, chat=item.chat) for item in step.emptied)
        if any(item.chat is None for item in step.emptied):
            sequencer.forget_application(token)
        purge.confirm_purged(step.emptied)
        result.count += len(step.emptied)
        return not step.is_done

    round_.take_turns(take_turn)
    round_.save()
    return result


def _delete_responses(ports: Ports, deadline: Deadline, before_ms: int) -> None:
    while deadline.allows_step():
        with deadline.step():
            deleted = ports.store.applications.delete_responses(
                rfc3339(before_ms), _RESPONSES_PER_STEP
            )
        if deleted < _RESPONSES_PER_STEP:
            return


def release_idle_leases(ports: Ports, deadline: Deadline, idle_ms: int = IDLE_MS) -> TaskResult:
    """Give the leases of idle counters back, so that Redis holds only active ones; counts them.

    No number is skipped: MySQL lowers the ceiling to the last issued number, and the next lease starts there.
    """
    round_ = Round(ports, "release_idle_leases", deadline)
    result = TaskResult(errors=round_.errors)

    def list_idle(tokens: Sequence[AppToken]) -> Iterable[AppToken]:
        return (counter.token for counter in ports.sequencer.list_idle(tokens, idle_ms, 1))

    def take_turn(token: AppToken) -> bool:
        idle = ports.sequencer.list_idle([token], idle_ms, _LEASES_PER_TURN)
        releasing = ports.sequencer.mark_releasing(idle, idle_ms)
        release_leases(ports, releasing)
        result.count += len(releasing)
        return len(idle) == _LEASES_PER_TURN

    round_.take_turns(take_turn, list_idle)
    round_.save()
    return result
