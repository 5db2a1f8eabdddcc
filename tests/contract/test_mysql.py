"""Behaviour that only a real server has: lost connections, refusals, plans, migrations, repairs."""

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import batched
from pathlib import Path

import pytest
from msgspec.structs import replace
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql import applications as application_reads
from chalicelib.adapters.mysql import locking, purge, read_markers
from chalicelib.adapters.mysql import messages as message_reads
from chalicelib.adapters.mysql.applications import store_response
from chalicelib.adapters.mysql.database import (
    LOCK_WAIT_SECONDS,
    REQUEST_READ_TIMEOUT_SECONDS,
    Database,
    Row,
    placeholders,
    to_db_time,
)
from chalicelib.adapters.mysql.migrate import migrate
from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.change_feed import Since
from chalicelib.domain.errors import InProgressError, PoisonError, UnavailableError
from chalicelib.domain.idempotency import IdempotencyKey, IdempotentWrite
from chalicelib.domain.leases import Counter, LeaseMissing, LeaseReleasing
from chalicelib.domain.limits import MAX_BODY_CHARS
from chalicelib.domain.models import Lease
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.unread import ReadMarker
from chalicelib.operators.advance_counters import AdvanceCounters
from chalicelib.operators.recount import CountMismatch, Recount
from tests.contract.databases import SERVERS, fresh_database, migrated_database
from tests.contract.factories import (
    LEASE,
    NOW,
    acquire,
    chat,
    chats,
    deleted,
    message,
    messages,
    purge_all,
)

_FOLDER = Path(message_reads.__file__).parent / "migrations"
MIGRATIONS = sorted(path.name for path in _FOLDER.glob("*.sql"))


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with migrated_database(request.param) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[MySqlStore]:
    with closing(MySqlStore(url)) as store:
        yield store


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database(url)) as database:
        yield database


@pytest.fixture
def token(store: MySqlStore) -> str:
    return store.applications.create_application(secrets.token_hex(16), "an application", NOW).token


def run(database: Database, sql: str, *args: object) -> list[tuple[object, ...]]:
    def work(cursor: Cursor) -> list[tuple[object, ...]]:
        cursor.execute(sql, args)
        return list(cursor.fetchall())

    return database.transact(work)


def others(database: Database) -> list[int]:
    """The ids of all other connections to this database."""
    locking = database.read(
        "SELECT id FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    )
    return [id_ for (id_,) in locking]


# --- connections


def test_a_reused_connection_that_was_killed_is_replaced(
    store: MySqlStore, database: Database, token: str
) -> None:
    steps: list[Callable[[], object]] = [
        lambda: store.persistence.persist_messages([messages(token, message(1))], 10),
        lambda: store.applications.list_tokens(0, 1),
    ]
    for step in steps:
        step()
        for id_ in others(database):
            run(database, "KILL %s", id_)
        step()
    assert Recount(store.database).recount(token) == []


def test_a_transaction_whose_connection_is_killed_half_way_runs_again_once(
    database: Database, url: str
) -> None:
    attempts: list[int] = []

    def work(cursor: Cursor) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            for id_ in others(database):
                run(database, "KILL %s", id_)
        cursor.execute("SELECT 42")
        return int(cursor.fetchall()[0][0])

    with closing(Database(url)) as victim:
        victim.read("SELECT 1")
        assert victim.transact(work) == 42
    assert len(attempts) == 2


def test_a_transaction_does_not_run_again_if_its_connection_is_lost_during_commit(
    database: Database, url: str
) -> None:
    attempts: list[int] = []

    def work(cursor: Cursor) -> None:
        attempts.append(1)
        for id_ in others(database):
            run(database, "KILL %s", id_)

    with closing(Database(url)) as victim:
        victim.read("SELECT 1")
        with pytest.raises(UnavailableError, match="result is unknown"):
            victim.transact(work)
        assert victim.read("SELECT 1") == [(1,)]
    assert len(attempts) == 1


def test_a_server_that_does_not_exist_is_unavailable() -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(UnavailableError):
        MySqlStore(f"mysql://root@127.0.0.1:{port}/x").ping()


def test_missing_tables_are_unavailable_and_not_poison(url: str) -> None:
    with fresh_database(url) as empty, closing(MySqlStore(empty)) as store:
        for step in (
            store.ping,
            lambda: store.persistence.persist_messages([messages("t", message(1))], 10),
        ):
            with pytest.raises(UnavailableError):
                step()


def test_an_unverified_connection_is_encrypted_if_the_server_supports_it(url: str) -> None:
    database = Database(f"{url}?ssl=unverified")
    [(_, cipher)] = database.read("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    assert cipher
    database.close()


def test_a_url_without_a_database_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql://"):
        MySqlStore("mysql://127.0.0.1")


def test_waiting_for_a_lock_has_a_limit(url: str, database: Database, token: str) -> None:
    def rename(cursor: Cursor) -> int:
        return cursor.execute("UPDATE applications SET name = 'other' WHERE token = %s", (token,))

    def while_it_is_locked(cursor: Cursor) -> float:
        rename(cursor)
        started = time.monotonic()
        with (
            closing(Database(url, REQUEST_READ_TIMEOUT_SECONDS)) as waiting,
            pytest.raises(UnavailableError, match="lock wait"),
        ):
            waiting.transact(rename)
        return time.monotonic() - started

    limit = REQUEST_READ_TIMEOUT_SECONDS + LOCK_WAIT_SECONDS
    assert database.transact(while_it_is_locked) < limit + 1


def test_two_transactions_that_deadlock_both_succeed(url: str, database: Database) -> None:
    run(database, "CREATE TABLE forks (id INT PRIMARY KEY, uses INT NOT NULL)")
    run(database, "INSERT INTO forks VALUES (1, 0), (2, 0)")

    def eat(forks: tuple[int, int]) -> None:
        with closing(Database(url)) as scoped_to_user:
            for _ in range(20):
                scoped_to_user.transact(
                    lambda cursor: [
                        cursor.execute("UPDATE forks SET uses = uses + 1 WHERE id = %s", (fork,))
                        for fork in forks
                    ]
                )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(eat, [(1, 2), (2, 1)]))
    assert run(database, "SELECT uses FROM forks") == [(40,), (40,)]


# --- refusals


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param({"created_at": "yesterday"}, id="no date"),
        pytest.param({"created_at": "2026-02-30T00:00:00.000Z"}, id="no such date"),
        pytest.param({"number": 2**64}, id="number too high"),
        pytest.param({"number": -1}, id="number too low"),
        pytest.param({"sender": "x" * 256}, id="sender too long"),
        pytest.param({"body": None}, id="no body"),
        pytest.param({"body": "\ud800"}, id="half a character"),
        pytest.param({"idempotency_key": "x" * 256}, id="key too long"),
    ],
)
def test_content_that_a_column_refuses_is_poison(
    store: MySqlStore, token: str, refused: dict[str, object]
) -> None:
    with pytest.raises(PoisonError):
        store.persistence.persist_messages(
            [messages(token, message(1), replace(message(2), **refused))], 10
        )
    assert store.chats.get_chat(token, 1) is None


def test_a_check_constraint_makes_a_record_poison(
    store: MySqlStore, database: Database, token: str
) -> None:
    run(database, "ALTER TABLE messages ADD CONSTRAINT no_bad_word CHECK (body <> 'bad word')")
    with pytest.raises(PoisonError, match="no_bad_word"):
        store.persistence.persist_messages([messages(token, message(1, body="bad word"))], 10)
    store.persistence.persist_messages([messages(token, message(1, body="good word"))], 10)
    run(database, "ALTER TABLE messages DROP CONSTRAINT no_bad_word")


def test_a_trigger_that_refuses_makes_a_record_poison(
    store: MySqlStore, database: Database, token: str
) -> None:
    run(
        database,
        "CREATE TRIGGER censor BEFORE INSERT ON chats FOR EACH ROW"
        " IF NEW.title = 'bad' THEN SIGNAL SQLSTATE '45000'"
        " SET MESSAGE_TEXT = 'censored'; END IF",
    )
    with pytest.raises(PoisonError, match="censored"):
        store.persistence.persist_chats([chats(token, chat(1, title="bad"))], 10)
    run(database, "DROP TRIGGER censor")


# --- plans


def assert_range(plan: list[tuple[object, ...]], index: str = "PRIMARY") -> None:
    """Servers format plans differently. The last line is the table that matters."""
    text = str(plan[-1])
    assert "range" in text
    assert index in text
    assert "sort" not in text.lower()


def test_a_page_of_messages_is_one_range_of_the_clustered_index(
    store: MySqlStore, database: Database, token: str
) -> None:
    lease = replace(LEASE, ceiling=5000)
    versions = [message(n) for n in range(1, 2001)]
    store.persistence.persist_messages([messages(token, *versions, lease=lease)], 1000)
    run(database, "ANALYZE TABLE messages")
    for direction in ("ASC", "DESC"):
        columns = message_reads.SHORT_COLUMNS
        sql = message_reads.LIST.format(columns=columns, direction=direction)
        assert_range(run(database, "EXPLAIN " + sql, 1, token, 900, 1000, 50))


def test_changes_are_one_range_of_their_index(
    store: MySqlStore, database: Database, token: str
) -> None:
    lease = replace(LEASE, ceiling=5000)
    versions = [message(n) for n in range(1, 2001)]
    store.persistence.persist_messages([messages(token, *versions, lease=lease)], 1000)
    run(database, "ANALYZE TABLE messages")
    sql = message_reads.LIST_CHANGES.format(columns=message_reads.SHORT_COLUMNS)
    for position in (0, 900, 1990):
        plan = run(database, "EXPLAIN " + sql, 1, token, position, position, 0, 51)
        assert_range(plan, "messages_by_position")


def test_a_page_of_applications_reads_no_other_applications(
    store: MySqlStore, database: Database
) -> None:
    for _ in range(200):
        store.applications.create_application(secrets.token_hex(16), "an application", NOW)
    run(database, "ANALYZE TABLE applications")
    for sql, args in (
        (application_reads.LIST, (50,)),
        (application_reads.LIST_BEFORE, (to_db_time(NOW), to_db_time(NOW), "f", 50)),
    ):
        [*_, last] = run(database, "EXPLAIN " + sql, *args)
        assert "applications_by_age" in str(last)
        assert "sort" not in str(last).lower()


# --- bodies


class Reads:
    """The rows that the database returns, by statement."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.body_chars: list[int] = []
        read = database.read

        def record(sql: str, args: tuple[object, ...] = ()) -> list[Row]:
            rows = read(sql, args)
            self.body_chars.append(sum(len(value) for row in rows for value in row[2:3] if value))
            return rows

        monkeypatch.setattr(database, "read", record)


@pytest.mark.parametrize("ascending", [False, True])
def test_a_page_reads_only_the_bodies_that_fit_into_a_response(
    store: MySqlStore, token: str, monkeypatch: pytest.MonkeyPatch, ascending: bool
) -> None:
    body = MAX_BODY_CHARS * "\U0001f98a"
    versions = [message(number, number, body=body) for number in range(1, 101)]
    for batch in batched(versions, 20):
        store.persistence.persist_messages([messages(token, *batch)], 1000)
    reads = Reads(store.database, monkeypatch)
    page = PageRequest(100, after=0 if ascending else None)
    listed = store.messages.list_messages(token, 1, page, 101)
    assert len(listed) == 24
    assert reads.body_chars == [0, 0, 24 * MAX_BODY_CHARS]
    assert len(store.messages.list_changes(token, 1, Since(), 101)) == 24
    assert reads.body_chars[3:] == [0, 0, 24 * MAX_BODY_CHARS]


def test_a_page_of_small_messages_is_one_statement(
    store: MySqlStore, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [message(number, number) for number in range(1, 101)]
    store.persistence.persist_messages([messages(token, *versions)], 1000)
    reads = Reads(store.database, monkeypatch)
    assert store.messages.list_messages(token, 1, PageRequest(100), 101) == versions[::-1]
    assert len(reads.body_chars) == 1


def test_bodies_that_became_shorter_while_a_page_was_read_hide_no_message(
    store: MySqlStore, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [message(number, number, body=MAX_BODY_CHARS * "a") for number in range(1, 41)]
    store.persistence.persist_messages([messages(token, *large)], 1000)
    small = [message(number, 40 + number) for number in range(1, 41)]
    read = store.database.read

    def edit_after_reading(sql: str, args: tuple[object, ...] = ()) -> list[Row]:
        rows = read(sql, args)
        monkeypatch.undo()
        store.persistence.persist_messages([messages(token, *small)], 1000)
        return rows

    monkeypatch.setattr(store.database, "read", edit_after_reading)
    assert store.messages.list_messages(token, 1, PageRequest(100, after=0), 101) == small


def test_locking_chats_touches_no_other_rows(
    store: MySqlStore, database: Database, token: str
) -> None:
    store.persistence.persist_chats([chats(token, *(chat(n) for n in range(1, 30)))], 10)
    ids = [id_ for (id_,) in run(database, "SELECT id FROM chats ORDER BY id LIMIT 5")]
    for sql in (locking.LOCK_CHATS, locking.LOCK_APPLICATIONS):
        plan = run(database, "EXPLAIN " + sql.format(placeholders=placeholders(ids)), *ids)
        assert_range(plan)


# --- idempotency keys


def test_a_retry_during_the_first_request_is_refused_and_changes_nothing(
    store: MySqlStore, database: Database
) -> None:
    key = IdempotentWrite("scope", IdempotencyKey(secrets.token_hex(8), "f"), 1_790_000_000_000)
    token = secrets.token_hex(16)

    def first_try(cursor: Cursor) -> None:
        store_response(cursor, key, b"{}")
        assert store.applications.find_response(key) is None
        with pytest.raises(InProgressError):
            store.applications.create_application(token, "an application", NOW, key)

    database.transact(first_try)
    assert store.applications.find_response(key) == b"{}"
    assert store.applications.get_application(token) is None


# --- migrations


def test_migrations_run_once_also_when_started_at_the_same_time(url: str) -> None:
    with fresh_database(url) as empty:
        with ThreadPoolExecutor(3) as pool:
            names = list(pool.map(migrate, [empty] * 3))
        assert sorted(names, key=len) == [[], [], MIGRATIONS]
        with closing(MySqlStore(empty)) as store:
            store.ping()


# --- messages from before the change feed


def test_messages_without_a_position_come_first_and_in_the_order_of_their_numbers(
    store: MySqlStore, database: Database, token: str
) -> None:
    store.persistence.persist_messages([messages(token, *(message(n) for n in (4, 2, 3, 1)))], 10)
    run(
        database,
        "UPDATE messages m JOIN chats c ON c.id = m.chat_id"
        " JOIN applications a ON a.id = c.application_id"
        " SET m.position = 0, c.last_position = 0 WHERE a.token = %s",
        token,
    )
    store.persistence.persist_messages([messages(token, message(2, 9), message(5, 8))], 10)
    numbers, since = [], Since()
    while page := store.messages.list_changes(token, 1, since, 2):
        numbers += [change.message.number for change in page]
        since = page[-1].since
    assert numbers == [1, 3, 4, 5, 2]


# --- repairs


def test_recount_reports_and_repairs_wrong_counts(
    store: MySqlStore, database: Database, token: str
) -> None:
    store.persistence.persist_messages([messages(token, message(1), message(2), deleted(3, 2))], 10)
    store.persistence.persist_chats([chats(token, chat(2), chat(3, deleted_at=NOW))], 10)
    assert Recount(store.database).recount(token) == []
    run(database, "UPDATE applications SET chats_count = 9 WHERE token = %s", token)
    run(
        database,
        "UPDATE chats SET messages_count = 7, last_message_number = 1 WHERE number = 1"
        " AND application_id = (SELECT id FROM applications WHERE token = %s)",
        token,
    )
    run(
        database,
        "DELETE FROM deleted_messages WHERE chat_id = (SELECT c.id FROM chats c"
        " JOIN applications a ON a.id = c.application_id WHERE a.token = %s AND c.number = 1)",
        token,
    )
    wrong = [
        CountMismatch(None, "chats_count", 9, 2),
        CountMismatch(1, "messages_count", 7, 2),
        CountMismatch(1, "last_message_number", 1, 3),
        CountMismatch(1, "deleted_messages", 0, 1),
    ]
    assert Recount(store.database).recount(token) == wrong
    assert Recount(store.database).recount(token, repair=True) == wrong
    assert Recount(store.database).recount(token) == []
    assert Recount(store.database).recount("nobody") == []


# --- advanced counters


def test_advanced_counters_continue_above_every_number_that_may_have_been_issued(
    store: MySqlStore, token: str
) -> None:
    store.persistence.persist_chats([chats(token, chat(1), chat(2))], 10)
    store.persistence.persist_messages([messages(token, message(1), message(2), message(4))], 10)
    of_messages, of_chats = Counter(token, 1), Counter(token)
    first = acquire(store, of_messages, "incarnation-2", 10, NOW)
    acquire(store, of_chats, "incarnation-2", 10, NOW)
    assert first
    assert AdvanceCounters(store.database).advance(token, 1_000, NOW) == 2
    assert store.leases.skipped_numbers(token, 1) == [
        NumberRange(3, 3),
        NumberRange(5, first.lease.ceiling + 1_000),
    ]
    again = acquire(store, of_messages, "incarnation-2", 10, NOW)
    assert again
    assert (again.floor, again.lost) == (first.lease.ceiling + 1_000, False)
    assert again.lease.epoch > first.lease.epoch + 1_000
    of_the_application = acquire(store, of_chats, "incarnation-2", 10, NOW)
    assert of_the_application
    assert of_the_application.floor == 10 + 10 + 1_000
    assert not store.leases.chat_may_arrive(token, 15, None, "2027-01-01T00:00:00.000Z")
    assert AdvanceCounters(store.database).advance("nobody", 1_000, NOW) == 0


def test_advancing_counters_ends_every_lease(store: MySqlStore, token: str) -> None:
    store.persistence.persist_chats([chats(token, chat(1))], 10)
    counter = Counter(token, 1)
    grant = acquire(store, counter, "incarnation-2", 10, NOW)
    assert grant
    AdvanceCounters(store.database).advance(token, 1_000, NOW)
    assert store.leases.extend_lease(counter, grant.lease, 10, NOW) is None
    store.leases.release_leases({counter: LeaseReleasing(grant.lease.holder, grant.lease.epoch, 3)})
    late = messages(token, message(grant.floor + 1), lease=grant.lease)
    assert store.persistence.persist_messages([late], 10).extended == ()
    again = acquire(store, counter, "incarnation-2", 10, NOW)
    assert again
    assert again.floor == grant.lease.ceiling + 1_000


def test_a_range_granted_before_a_restore_is_not_granted_again(
    store: MySqlStore, token: str
) -> None:
    store.persistence.persist_chats([chats(token, chat(1))], 10)
    counter = Counter(token, 1)
    epoch = store.leases.lease_epoch(counter)
    assert epoch is not None
    grant = store.leases.acquire_lease(
        counter, LeaseMissing("incarnation-2", "nonce-1"), epoch, 10, NOW
    )
    assert grant
    AdvanceCounters(store.database).advance(token, 1_000, NOW)
    epoch = store.leases.lease_epoch(counter)
    assert epoch is not None
    not_ready = LeaseMissing("incarnation-2", "nonce-2", abandoned_nonces=("nonce-1",))
    again = store.leases.acquire_lease(counter, not_ready, epoch, 10, NOW)
    assert again
    assert again.floor == grant.lease.ceiling + 1_000


def test_a_chat_that_arrives_after_counters_were_advanced_gets_advanced_counters(
    store: MySqlStore, token: str
) -> None:
    store.persistence.persist_chats([chats(token, chat(1))], 10)
    AdvanceCounters(store.database).advance(token, 1_000, NOW)
    stub, filled_in, new = 7, 8, 5_000
    lease = Lease("incarnation-1", 3, 10)
    store.persistence.persist_messages([messages(token, message(2), chat=stub, lease=lease)], 10)
    store.persistence.persist_chats([chats(token, chat(filled_in, messages_lease=lease))], 10)
    store.persistence.persist_messages([messages(token, message(2), chat=new, lease=lease)], 10)
    for number in (stub, filled_in):
        grant = acquire(store, Counter(token, number), "incarnation-1", 10, NOW)
        assert grant
        assert grant.floor == 10 + 1_000
        assert grant.lease.epoch > 3 + 1_000
    grant = acquire(store, Counter(token, new), "incarnation-1", 10, NOW)
    assert grant
    assert grant.floor == 10


def test_a_follower_misses_nothing_that_is_stored_after_counters_were_advanced(
    store: MySqlStore, token: str
) -> None:
    store.persistence.persist_messages([messages(token, message(1))], 10)
    AdvanceCounters(store.database).advance(token, 1_000, NOW)
    since_before_the_restore = Since(position=1_000, number=600)
    store.persistence.persist_messages([messages(token, message(2))], 10)
    store.persistence.persist_messages([messages(token, message(3), chat=2)], 10)
    for chat_number, number in ((1, 2), (2, 3)):
        changed = store.messages.list_changes(token, chat_number, since_before_the_restore, 10)
        assert [change.message.number for change in changed] == [number]


# --- the floor of a counter


def test_the_floor_rises_with_stored_messages_so_that_a_long_chat_acquires_a_lease_quickly(
    store: MySqlStore, database: Database, token: str
) -> None:
    def floors() -> list[tuple[object, ...]]:
        return run(
            database,
            "SELECT a.chats_floor, c.messages_floor FROM applications a"
            " JOIN chats c ON c.application_id = a.id AND c.number = 1 WHERE a.token = %s",
            token,
        )

    grant = acquire(store, Counter(token), "a", 10, NOW)
    assert grant is not None
    for number in range(1, 101, 4):
        four = range(number, number + 4)
        store.persistence.persist_messages([messages(token, *map(message, four))], 10)
        store.persistence.persist_chats([chats(token, *map(chat, four), lease=grant.lease)], 10)
    ((chats_floor, messages_floor),) = floors()
    assert chats_floor in range(80, 91)
    assert messages_floor in range(80, 91)


def test_the_floor_stays_below_a_missing_number(
    store: MySqlStore, database: Database, token: str
) -> None:
    for first in range(1, 61, 4):
        present = [message(number) for number in range(first, first + 4) if number != 20]
        store.persistence.persist_messages([messages(token, *present)], 10)
    acquire(store, Counter(token, 1), "b", 10, NOW)
    assert store.leases.skipped_numbers(token, 1)[0] == NumberRange(20, 20)


def test_a_migration_that_failed_half_way_runs_again(url: str) -> None:
    with fresh_database(url) as empty:
        migrate(empty)
        run(Database(empty), "DELETE FROM schema_migrations WHERE version > 1")
        run(Database(empty), "ALTER TABLE chats DROP COLUMN messages_nonce")
        assert migrate(empty) == MIGRATIONS[1:]
        assert run(Database(empty), "SELECT messages_nonce FROM chats") == []


def test_deletions_that_were_stored_before_are_counted(url: str) -> None:
    with fresh_database(url) as older, closing(Database(older)) as database:
        migrate(older)
        with closing(MySqlStore(older)) as store:
            token = store.applications.create_application(
                secrets.token_hex(16), "an application", NOW
            ).token
            store.persistence.persist_messages(
                [messages(token, message(1), deleted(2, 2), deleted(3, 2))], 10
            )
            for before in ("DROP TABLE readers, deleted_messages", "DELETE FROM deleted_messages"):
                run(database, before)
                run(database, "DELETE FROM schema_migrations WHERE version = 4 LIMIT 1")
                assert migrate(older) == ["0004_readers.sql"]
                assert Recount(store.database).recount(token) == []


# --- read markers


def test_a_marker_does_not_wait_for_a_worker(
    url: str, store: MySqlStore, database: Database, token: str
) -> None:
    store.persistence.persist_messages([messages(token, message(1))], 10)

    def while_it_is_locked(cursor: Cursor) -> None:
        applications = locking.find_applications(cursor, [token])
        locking.lock_applications(cursor, applications.values())
        ids = locking.find_chats(cursor, [(applications[token], 1)])
        assert locking.lock_chats(cursor, ids.values())
        with closing(MySqlStore(url, REQUEST_READ_TIMEOUT_SECONDS)) as reader:
            reader.read_markers.mark_read(token, "ann", ReadMarker(1, 1), 0)

    database.transact(while_it_is_locked)
    assert store.read_markers.list_read_markers(token, "ann", PageRequest(limit=1), 1) == [
        ReadMarker(1, 1)
    ]


def test_read_markers_and_deletions_are_purged_with_their_chat_and_application(
    store: MySqlStore, database: Database, token: str
) -> None:
    def left() -> list[int]:
        counts = [
            "SELECT COUNT(*) FROM readers r JOIN applications a ON a.id = r.application_id"
            " WHERE a.token = %s",
            "SELECT COUNT(*) FROM deleted_messages d JOIN chats c ON c.id = d.chat_id"
            " JOIN applications a ON a.id = c.application_id WHERE a.token = %s",
        ]
        return [n for sql in counts for (n,) in database.read(sql, (token,))]

    def purged(*expected: int | None) -> None:
        purged = purge_all(store, "2030-01-01T00:00:00.000Z", 3)
        assert [item.chat for item in purged if item.token == token] == list(expected)

    for number in (1, 2):
        versions = (message(1), *(deleted(n, 2) for n in range(2, 9)))
        store.persistence.persist_messages([messages(token, *versions, chat=number)], 10)
        for user in ("ann", "bob", "cem", "dan"):
            store.read_markers.mark_read(token, user, ReadMarker(number, 1), 0)
    store.read_markers.mark_read(token, "ann", ReadMarker(77, 1), 1)
    assert left() == [9, 14]
    store.persistence.persist_chats([chats(token, chat(1, 9, deleted_at=NOW))], 10)
    purged(1)
    assert left() == [5, 7]
    [(id_,)] = database.read("SELECT id FROM applications WHERE token = %s", (token,))
    store.applications.delete_application(token, NOW)
    purged(None)
    assert database.read("SELECT 1 FROM readers WHERE application_id = %s", (id_,)) == []
    assert (
        database.read("SELECT 1 FROM deleted_messages WHERE chat_id NOT IN (SELECT id FROM chats)")
        == []
    )


def deleted_chat(store: MySqlStore, token: str, number: int, *bodies: str) -> None:
    versions = [replace(message(n), body=body) for n, body in enumerate(bodies, 1)]
    store.persistence.persist_messages([messages(token, *versions, chat=number)], 10)
    store.persistence.persist_chats([chats(token, chat(number, 9, deleted_at=NOW))], 10)


def test_a_late_record_of_a_deleted_chat_does_not_wait_for_the_purge(
    store: MySqlStore, database: Database, url: str, token: str
) -> None:
    deleted_chat(store, token, 1, "x", "y")
    [(id_,)] = database.read(
        "SELECT c.id FROM chats c JOIN applications a ON a.id = c.application_id"
        " WHERE a.token = %s",
        (token,),
    )
    late, neighbour = messages(token, message(3)), messages(token, message(1), chat=2)

    def while_the_purge_is_in_its_transaction(cursor: Cursor) -> None:
        delete = purge.DELETE_UP_TO.format(table="messages", placeholders="%s")
        assert cursor.execute(delete, (0, id_, 2)) == 2
        with closing(MySqlStore(url)) as worker:
            started_at = time.monotonic()
            worker.persistence.persist_messages([late, neighbour], 10)
            assert time.monotonic() - started_at < LOCK_WAIT_SECONDS

    database.transact(while_the_purge_is_in_its_transaction)
    row = store.chats.get_chat(token, 2)
    assert row
    assert row.messages_count == 1


def test_the_purge_leaves_a_chat_whose_row_is_locked_for_later(
    store: MySqlStore, database: Database, url: str, token: str
) -> None:
    for number in (1, 2):
        deleted_chat(store, token, number, "x")
    before = "2030-01-01T00:00:00.000Z"
    emptied, _ = store.purge.remove_rows(token, before, 500)
    assert [item.chat for item in emptied] == [1, 2]

    def while_it_is_locked(cursor: Cursor) -> None:
        cursor.execute(
            "SELECT c.id FROM chats c JOIN applications a ON a.id = c.application_id"
            " WHERE a.token = %s AND c.number = 1 FOR UPDATE",
            (token,),
        )
        with closing(MySqlStore(url)) as schedule:
            started_at = time.monotonic()
            schedule.purge.confirm_purged(emptied)
            assert time.monotonic() - started_at < LOCK_WAIT_SECONDS

    database.transact(while_it_is_locked)
    emptied, is_done = store.purge.remove_rows(token, before, 500)
    assert ([item.chat for item in emptied], is_done) == ([1], True)


def test_a_transaction_of_the_purge_removes_at_most_five_megabytes(
    store: MySqlStore, database: Database, token: str
) -> None:
    deleted_chat(store, token, 1, *["\U0001f600" * 20_000] * 70)
    left = "SELECT COUNT(*) FROM messages m JOIN chats c ON c.id = m.chat_id" + (
        " JOIN applications a ON a.id = c.application_id WHERE a.token = %s"
    )
    emptied, is_done = store.purge.remove_rows(token, "2030-01-01T00:00:00.000Z", 500)
    assert (emptied, is_done) == ([], False)
    [(count,)] = database.read(left, (token,))
    assert count == 70 - 5_000_000 // 80_000
    emptied, is_done = store.purge.remove_rows(token, "2030-01-01T00:00:00.000Z", 500)
    assert ([item.chat for item in emptied], is_done) == ([1], True)


def test_applications_to_purge_are_searched_in_an_index(
    store: MySqlStore, database: Database, token: str
) -> None:
    """A scan of all chats each minute would cost more than everything else."""
    for number in range(1, 51):
        store.persistence.persist_messages([messages(token, message(1), chat=number)], 10)
    run(database, "ANALYZE TABLE chats, applications")
    plan = run(database, "EXPLAIN " + purge.PURGEABLE, 0, 1_000_000, NOW[:10], NOW[:10])
    assert "chats_deleted" in str(plan)


def test_a_page_of_markers_is_read_without_sorting(
    store: MySqlStore, database: Database, token: str
) -> None:
    for number in range(1, 100):
        store.read_markers.mark_read(token, "ann", ReadMarker(number, 1), 1)
    run(database, "ANALYZE TABLE readers")
    for direction in ("ASC", "DESC"):
        sql = read_markers.LIST.format(direction=direction)
        plan = run(database, "EXPLAIN " + sql, b"ann", token, 0, 100, 10)
        assert "sort" not in str(plan).lower()
