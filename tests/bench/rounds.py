"""The tasks of the schedule over a million applications, and beside one application that has much to do."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import batched
from typing import Any

import redis
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.adapters.redis.sequencer import FIXED_HOLDER, OVERDUE_AFTER_MS, RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.queue_records import AnyRecord, PurgeRecord
from chalicelib.domain.times import Deadline
from chalicelib.usecases.maintenance import (
    LAST_REMOVAL_MS,
    measure_backlog,
    purge_deleted,
    release_idle_leases,
)
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.repair import repair_pending
from chalicelib.usecases.rounds import TaskResult
from tests.bench.harness import LEASE_WINDOW, Harness
from tests.bench.measure import Took, plain, timed
from tests.bench.memory import DRAFT
from tests.bench.rows import Row
from tests.contract.factories import application, cache_application, hold_first_lease
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import FakeMetrics
from tests.fakes.queues import FakeQueues

APPLICATIONS = 1_000_000
# As much as one application may have pending, and in one chat.
OVERDUE, OVERDUE_OF_CHAT, BATCH = 200_000, 20_000, 500
CHATS, MESSAGES_OF_CHAT = 20_000, 5
TIMEOUT_MS = 60_000
ROWS_PER_STATEMENT = 10_000
# A run may use the time-out of its function, less what the last step may take.
MOST_SECONDS = 45


class _Queues(FakeQueues):
    """Counts the records by application, and keeps none."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[AppToken, int] = {}

    def send(self, records: Iterable[AnyRecord]) -> None:
        for record in records:
            if not isinstance(record, PurgeRecord):
                token = record.token  # type: ignore[union-attr]
                self.counts[token] = self.counts.get(token, 0) + 1


class _Ports:
    """The real stores, and queues that keep nothing."""

    lease_window = LEASE_WINDOW
    index: Any = None

    def __init__(self, mysql_url: str, redis_url: str) -> None:
        self.clock = SystemClock()
        self.store = MySqlStore(mysql_url)
        self.sequencer = RedisSequencer(redis_url, self.clock, LEASE_WINDOW, FIXED_HOLDER)
        self.queues = _Queues()
        self.metrics = FakeMetrics()

    def close(self) -> None:
        self.sequencer.close()
        self.store.close()


def rounds(harness: Harness) -> Iterator[Row]:
    """Empty rounds, one message behind 200,000, leases released a second, chats purged a second."""
    yield from measured(harness.mysql_url, harness.redis_url)


def measured(mysql_url: str, redis_url: str) -> Iterator[Row]:
    """The rows, on these stores. Both are emptied first."""
    redis.Redis.from_url(redis_url).flushdb()
    with closing(_Ports(mysql_url, redis_url)) as ports, closing(Database(mysql_url)) as database:
        for table in ("messages", "chats", "applications", "task_rounds"):
            _execute(database, f"TRUNCATE TABLE {table}")
        noisy = _new_application(ports)
        _fill_applications(database)
        victim = _new_application(ports)
        yield from _empty_rounds(ports)
        yield _victim(ports, redis_url, noisy, victim)
        yield _released(ports, database, victim)
        yield _purged(ports, database, victim)


def _deadline(clock: SystemClock) -> Deadline:
    ends_at_ms = clock.now_ms() + TIMEOUT_MS
    return Deadline(lambda: ends_at_ms - clock.now_ms())


def _new_application(ports: _Ports) -> AppToken:
    token = AppToken(secrets.token_hex(15))
    ports.store.applications.create_application(token, "x", DRAFT.created_at)
    cache_application(ports.sequencer, application(token))
    return token


def _fill_applications(database: Database) -> None:
    sql = "INSERT INTO applications (token, name, created_at) VALUES (%s, 'x', NOW(3))"
    for numbers in batched(range(APPLICATIONS), ROWS_PER_STATEMENT):
        _insert(database, sql, [(f"{number:030x}",) for number in numbers])


def _insert(database: Database, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    def work(cursor: Cursor) -> None:
        cursor.executemany(sql, rows)

    database.transact(work)


def _execute(database: Database, sql: str, *args: object) -> None:
    database.transact(lambda cursor: cursor.execute(sql, args))


def _empty_rounds(ports: _Ports) -> Iterator[Row]:
    """Each task, if no application has anything to do."""
    for task in (measure_backlog, repair_pending, release_idle_leases, purge_deleted):
        took = [timed(partial(_run, task, ports)) for _ in range(3)]
        name = f"rounds, {task.__name__}, {APPLICATIONS:,} applications"
        yield plain(name, "s", [t.wall for t in took], most=MOST_SECONDS)
        yield plain(f"{name}, cpu", "s", [t.cpu for t in took])


def _run(task: Callable[[Ports, Deadline], TaskResult], ports: _Ports) -> int:
    result = task(ports, _deadline(ports.clock))
    assert result.errors == []
    return result.count


def _victim(ports: _Ports, redis_url: str, noisy: AppToken, victim: AppToken) -> Row:
    """In which run one overdue message is resent, if another application has as many as it may have."""
    past = FakeClock(ports.clock.now_ms() - 2 * OVERDUE_AFTER_MS)
    with closing(RedisSequencer(redis_url, past, LEASE_WINDOW, FIXED_HOLDER)) as sequencer:
        for chat in range(1, OVERDUE // OVERDUE_OF_CHAT + 1):
            counter = Counter(noisy, ChatNumber(chat))
            hold_first_lease(sequencer, counter, LEASE_WINDOW)
            for _ in range(OVERDUE_OF_CHAT // BATCH):
                _accept(sequencer, counter, BATCH)
        counter = Counter(victim, ChatNumber(1))
        hold_first_lease(sequencer, counter, LEASE_WINDOW)
        _accept(sequencer, counter, 1)
    runs = 0
    while not ports.queues.counts.get(victim):
        runs += 1
        _run(repair_pending, ports)
    return plain("rounds, run that resends one message behind 200,000", "", [runs], most=2)


def _accept(sequencer: RedisSequencer, counter: Counter, count: int) -> None:
    accepted = sequencer.accept(Tenant(counter.token, 1), counter, [DRAFT] * count)
    assert isinstance(accepted, Accepted)


def _released(ports: _Ports, database: Database, token: AppToken) -> Row:
    """How many idle leases of one application are released a second."""
    [(application_id,)] = database.read("SELECT id FROM applications WHERE token = %s", (token,))
    sql = (
        "INSERT INTO chats (application_id, number, created_at, messages_holder, messages_epoch,"
        " messages_ceiling) VALUES (%s, %s, NOW(3), %s, 1, %s)"
    )
    numbers = range(2, CHATS + 2)
    rows = [(application_id, number, FIXED_HOLDER, LEASE_WINDOW) for number in numbers]
    for part in batched(rows, ROWS_PER_STATEMENT):
        _insert(database, sql, part)
    for number in numbers:
        hold_first_lease(ports.sequencer, Counter(token, ChatNumber(number)), LEASE_WINDOW)
    took = _repeated(partial(_run, partial(release_idle_leases, idle_ms=0), ports), CHATS)
    return plain("rounds, leases released a second", "1/s", [CHATS / took.wall], least=200)


def _purged(ports: _Ports, database: Database, token: AppToken) -> Row:
    """How many deleted chats of one application are purged a second."""
    [(application_id,)] = database.read("SELECT id FROM applications WHERE token = %s", (token,))
    ids = database.read("SELECT id FROM chats WHERE application_id = %s", (application_id,))
    sql = (
        "INSERT INTO messages (chat_id, number, revision, body, created_at)"
        " VALUES (%s, %s, 1, REPEAT('x', 100), NOW(3))"
    )
    rows = [(id_, number) for (id_,) in ids for number in range(1, MESSAGES_OF_CHAT + 1)]
    for part in batched(rows, ROWS_PER_STATEMENT):
        _insert(database, sql, part)
    seconds = 2 * LAST_REMOVAL_MS // 1000
    deleted = "UPDATE chats SET deleted_at = UTC_TIMESTAMP(3) - INTERVAL %s SECOND"
    _execute(database, deleted, seconds)
    took = _repeated(partial(_run, purge_deleted, ports), len(ids))
    return plain("rounds, chats purged a second", "1/s", [len(ids) / took.wall], least=100)


def _repeated(run: Callable[[], int], total: int) -> Took:
    """The time of as many runs as the work takes."""

    def work() -> None:
        done = 0
        while done < total:
            done += run()

    return timed(work)
