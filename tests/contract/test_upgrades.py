"""Tables, records and keys of every earlier release work with today's code, and counts are exact.

The statements of each release are recorded (`releases/`). The fake store passes the same suite as the real
one, so it plays the same acts, and the tests compare the two.
"""

import secrets
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
import redis
from msgspec.structs import replace

from chalicelib.adapters.aws import queue_of
from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.migrate import migrate
from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.adapters.redis.sequencer import FIXED_HOLDER, RedisSequencer
from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Change, Since
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import Application, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnpersistedChats
from chalicelib.operators.recount import CountMismatch, Recount
from chalicelib.operators.reindex import ReindexJob
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.ports import Store
from chalicelib.usecases.process_batch import Received, process_batch
from chalicelib.usecases.search import index_messages
from tests.contract.conftest import part_url
from tests.contract.databases import SERVERS, fresh_database, migrated_database
from tests.contract.factories import acquire, application, cache_application, purge_all
from tests.contract.indexed import Indexed
from tests.contract.releases import acts, keys
from tests.contract.releases.acts import CHANGES, READERS, TOKEN, WINDOW
from tests.contract.releases.recordings import (
    FOLDER,
    MIGRATIONS,
    RECORDINGS,
    Recording,
    migrate_as,
    play,
    script,
)
from tests.fakes.clock import FakeClock
from tests.fakes.ports import FakePorts, far_deadline
from tests.fakes.store import FakeStore

FAR, START = PageRequest(limit=100), Since()
IN_2030_MS = 1_900_000_000_000
# As the first release wrote them. All later releases write the same.
RECORDS = (FOLDER / "records.ndjson").read_text().splitlines()
HANDLERS: dict[str, tuple[Any, Any]] = {
    "messages": (MessagesRecord, persist_messages),
    "chats": (ChatsRecord, persist_chats),
    "search": (
        SearchRecord,
        lambda ports, records: index_messages(ports, records, far_deadline()),
    ),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with migrated_database(request.param) as url:
        yield url


@pytest.fixture(params=RECORDINGS)
def release(request: pytest.FixtureRequest) -> Recording:
    return RECORDINGS[request.param]


class Upgraded:
    """A database that a release filled and that was migrated then, and the fake with the same content."""

    def __init__(self, url: str, release: Recording) -> None:
        self.url, self.release = url, release
        self.database, self.store = Database(url), MySqlStore(url)
        self.fake = FakeStore()
        migrate_as(self.database, release.has)
        play(self.database, release.before)
        acts.before(self.fake, release.has)
        missing = MIGRATIONS.keys() - release.has
        assert migrate(url) == [MIGRATIONS[version] for version in sorted(missing)]

    def old_code_goes_on(self) -> None:
        play(self.database, self.release.after)
        acts.after(self.fake, self.release.has)

    def close(self) -> None:
        self.store.close()
        self.database.close()


@pytest.fixture
def upgraded(server: str, release: Recording) -> Iterator[Upgraded]:
    with fresh_database(server) as url, closing(Upgraded(url, release)) as made:
        yield made


def stored(store: Store) -> dict[str, Any]:
    """Everything that can be read of the application."""
    chats = [store.chats.get_chat(TOKEN, number) for number in acts.CHATS]
    response = store.applications.find_response(acts.ONCE)
    markers = [
        m
        for user in ("ann", "bob", "cem")
        for m in store.read_markers.list_read_markers(TOKEN, user, FAR, 10)
    ]
    return {
        "application": store.applications.get_application(TOKEN),
        "tokens": [row.token for row in store.applications.list_tokens(0, 10)],
        "chats": chats,
        "list": store.chats.list_chats(TOKEN, FAR, 100),
        "messages": [store.messages.list_messages(TOKEN, n, FAR, 100) for n in acts.CHATS],
        "each": {n: store.messages.get_message(TOKEN, 1, n) for n in range(1, 60)},
        "skipped": [store.leases.skipped_numbers(TOKEN, n) for n in acts.CHATS],
        "changes": {n: latest(changes(store, n)) for n in acts.CHATS},
        "markers": markers,
        "unread": store.read_markers.count_unread(
            TOKEN,
            [ReadMarker(n, 0) for n in acts.CHATS] + markers,
            {n: UnpersistedChat() for n in acts.CHATS},
        ),
        "response": None if response is None else msgspec.json.decode(response, type=Application),
    }


def changes(store: Store, chat: int, since: Since = START) -> list[Change]:
    listed: list[Change] = []
    while page := store.messages.list_changes(TOKEN, chat, since, 3):
        listed += page
        since = page[-1].since
    return listed


def latest(listed: list[Change]) -> dict[int, Message]:
    numbers = [change.message.number for change in listed]
    assert len(numbers) == len(set(numbers))
    return {change.message.number: change.message for change in listed}


def todays_code_goes_on(store: Store) -> None:
    """Writes of every kind on the rows of the release."""
    grant = acquire(store, Counter(TOKEN, 1), "memory-4", WINDOW, acts.LATER)
    assert grant
    number, revision = grant.floor + 1, grant.lease.epoch << 32
    more = [acts.message(number, revision), acts.message(number + 1, revision + 1)]
    acts.persist_in(store, 1, *more, lease=grant.lease)
    acts.persist_in(store, 1, acts.edited(2, revision + 2, "edited today"), lease=grant.lease)
    acts.persist_in(store, 1, acts.deleted(1, revision + 3), lease=grant.lease)
    acts.persist_in(store, 1, acts.edited(3, revision + 4, "brought back"), lease=grant.lease)
    acts.persist_in(store, 1, acts.message(6, 6), acts.deleted(17, 5))  # again, and late
    acts.persist_in(store, 4, acts.deleted(2, 9), acts.message(3, 10))
    acts.persist_all(store, replace(acts.chat(2, 7, "renamed"), edited_at=acts.LATER), acts.chat(4))
    store.read_markers.mark_read(TOKEN, "ann", ReadMarker(1, number), 0)
    store.read_markers.mark_read(TOKEN, "dan", ReadMarker(2, 2), 0)
    purge_all(store, "2030-01-01T00:00:00.000Z")


def bodies(queue: str) -> list[str]:
    """The recorded bodies for one queue."""
    return [
        body for body in RECORDS if queue_of(msgspec.json.decode(body, type=AnyRecord)) == queue
    ]


def work(ports: FakePorts, queue: str, records: list[str]) -> list[str]:
    """Process records as the worker of the queue does. Returns the records that must be retried."""
    kind, handle = HANDLERS[queue]
    received = [Received(str(at), str(at), body, 1, 0) for at, body in enumerate(records)]
    decode = msgspec.json.Decoder(kind).decode
    return process_batch(
        ports, queue, received, decode, lambda batch: handle(ports, batch), far_deadline()
    )


# --- tables


def test_every_release_is_recorded() -> None:
    newest = MIGRATIONS[max(MIGRATIONS)].removesuffix(".sql")
    assert {f"{name}.sql" for name in RECORDINGS} == set(MIGRATIONS.values())
    assert keys.RECORDED.keys() == RECORDINGS.keys()
    assert RECORDINGS[newest].has == MIGRATIONS.keys()


def test_rows_of_an_earlier_release_are_complete_after_the_migrations(upgraded: Upgraded) -> None:
    assert stored(upgraded.store) == stored(upgraded.fake)
    assert Recount(upgraded.store.database).recount(TOKEN) == []


def test_todays_code_continues_with_the_rows_of_an_earlier_release(upgraded: Upgraded) -> None:
    ends = {n: changes(upgraded.store, n)[-1:] for n in (1, 2, 4)}
    for store in (upgraded.store, upgraded.fake):
        todays_code_goes_on(store)
    assert stored(upgraded.store) == stored(upgraded.fake)
    assert Recount(upgraded.store.database).recount(TOKEN) == []
    for number, [last] in ends.items():
        listed = [change.message for change in changes(upgraded.store, number, last.since)]
        expected = [change.message for change in changes(upgraded.fake, number)]
        assert listed == expected[len(expected) - len(listed) :]
        assert {message.number for message in listed} == {
            1: {2, 1, 3, 37, 38},
            2: set(),
            4: {2, 3},
        }[number]


def test_a_release_works_on_the_tables_of_later_releases(upgraded: Upgraded) -> None:
    store, has = upgraded.store, upgraded.release.has
    upgraded.old_code_goes_on()
    wrong = Recount(store.database).recount(TOKEN, repair=True)
    assert wrong == ([] if READERS in has else [CountMismatch(1, "deleted_messages", 2, 3)])
    assert stored(store) == stored(upgraded.fake)
    for either in (store, upgraded.fake):
        todays_code_goes_on(either)
    assert stored(store) == stored(upgraded.fake)
    assert Recount(store.database).recount(TOKEN) == []


def test_a_follower_during_a_release_without_positions_starts_again_from_the_start(
    upgraded: Upgraded,
) -> None:
    [*_, last] = changes(upgraded.store, 1)
    upgraded.old_code_goes_on()
    listed = latest(changes(upgraded.store, 1, last.since))
    changed = {18, 19, 8, 1, 4, 5}
    assert listed.keys() == (changed if CHANGES in upgraded.release.has else {18, 19})
    assert latest(changes(upgraded.store, 1)) == latest(changes(upgraded.fake, 1))


def test_an_upgrade_interrupted_after_any_statement_can_be_continued(server: str) -> None:
    oldest = RECORDINGS[min(RECORDINGS)]
    missing = [s for version in sorted(MIGRATIONS.keys() - oldest.has) for s in script(version)]
    for done in range(1, len(missing) + 1):
        with fresh_database(server) as url, closing(Database(url)) as database:
            migrate_as(database, oldest.has)
            play(database, oldest.before)
            play(database, missing[:done])  # and none of them recorded as applied
            migrate(url)
            with closing(MySqlStore(url)) as store:
                acts.persist_in(store, 1, acts.deleted(6, 12))
                assert Recount(store.database).recount(TOKEN) == []
                assert latest(changes(store, 1))[6].deleted_at


def test_the_index_is_rebuilt_from_the_rows_of_an_earlier_release(upgraded: Upgraded) -> None:
    with closing(Indexed(upgraded.url, part_url("opensearch"))) as system:
        ReindexJob(
            system.scanner(), system.opensearch_url, lambda _: None, lambda *_: None, system.alias
        ).run()
        expected = {
            (TOKEN, chat, number): version.revision
            for chat in acts.CHATS
            for number, version in latest(changes(upgraded.fake, chat)).items()
        }
        assert system.indexed() == system.stored() == expected


# --- records


def test_records_are_written_as_every_release_reads_them() -> None:
    for body in RECORDS:
        assert msgspec.json.encode(msgspec.json.decode(body, type=AnyRecord)).decode() == body


def test_records_of_every_release_are_stored_and_indexed(server: str) -> None:
    ports: Any = FakePorts()
    with fresh_database(server) as url, closing(MySqlStore(url)) as ports.store:
        migrate(url)
        ports.store.applications.create_application(TOKEN, "Acme", acts.NOW)
        for queue in HANDLERS:
            assert work(ports, queue, bodies(queue) * 2) == []
        assert ports.queues.dead == []
        [first, second] = ports.store.messages.list_messages(
            TOKEN, 1, PageRequest(limit=10, after=0), 10
        )
        assert (first.body, first.metadata) == ('Grüße 👋\n"quoted"', {"b": [2, None, {"c": "d"}]})
        assert (second.body, second.edited_at) == ("edited", acts.LATER)
        chats = [
            row.chat.title for row in ports.store.chats.list_chats(TOKEN, PageRequest(limit=10), 10)
        ]
        assert sorted(chats, key=str) == ["Général ☕", None]
        assert Recount(ports.store.database).recount(TOKEN) == []
        work(ports, "search", ports.queues.take("search"))
        indexed = {number: d.message for (_, _, number), d in ports.index.documents.items()}
        assert indexed == latest(changes(ports.store, 1))


@pytest.mark.parametrize("body", RECORDS)
def test_a_record_of_a_later_release_is_dead_lettered_unchanged(body: str) -> None:
    ports, later = FakePorts(), body.replace('"v":1', '"v":2')
    queue = queue_of(msgspec.json.decode(body, type=AnyRecord))
    assert work(ports, queue, [later]) == []
    [(dead_lettered_in, dead_body, reason)] = ports.queues.dead
    assert (dead_lettered_in, dead_body) == (queue, later)
    assert "not a record that this version can read" in reason


# --- keys


@pytest.fixture(params=keys.RECORDED)
def sequencer(request: pytest.FixtureRequest) -> Iterator[tuple[RedisSequencer, str]]:
    """A sequencer on the keys of a release, and the application's token."""
    url, token = part_url("redis"), secrets.token_hex(15)
    with (
        redis.Redis.from_url(url) as client,
        closing(RedisSequencer(url, FakeClock(IN_2030_MS), WINDOW, FIXED_HOLDER)) as sequencer,
    ):
        keys.put(client, token, keys.RECORDED[request.param])
        cache_application(sequencer, application(token))
        yield sequencer, token
        client.delete(*client.scan_iter(match=f"{{{token}}}*"))


def test_pending_entries_of_an_earlier_release_are_read_as_they_were_accepted(
    sequencer: tuple[RedisSequencer, str],
) -> None:
    redis_sequencer, token = sequencer
    versions = {n: e.version for n, e in keys.pending(redis_sequencer, Counter(token, 1)).items()}
    assert {n: (s.body, s.edited_at, s.deleted_at) for n, s in versions.items()} == {
        1: ("edited", acts.LATER, None),
        2: ("", None, acts.LATER),
        3: ("three", None, None),
    }
    [created] = keys.pending(redis_sequencer, Counter(token)).values()
    assert created.version.title == keys.CHAT.title
    assert len(redis_sequencer.list_overdue([token], 10)) == 4


def test_numbers_idempotency_keys_and_edits_continue_from_an_earlier_release(
    sequencer: tuple[RedisSequencer, str],
) -> None:
    redis_sequencer, token = sequencer
    messages, chats = Counter(token, 1), Counter(token)
    before = max(
        entry.version.revision for entry in keys.pending(redis_sequencer, messages).values()
    )
    again = keys.accept(
        redis_sequencer,
        messages,
        [keys.draft("Grüße 👋"), keys.draft("two")],
        keys.idempotency("batch"),
    )
    assert (again.first, again.last, again.replayed) == (1, 2, True)
    assert keys.accept(redis_sequencer, chats, [keys.CHAT], keys.idempotency("chat")).replayed
    assert keys.accept(redis_sequencer, messages, [keys.draft("four")]).first == 4
    assert keys.accept(redis_sequencer, chats, [keys.CHAT]).first == 2
    assert keys.change(redis_sequencer, messages, 1, body="edited again").revision > before


def test_entries_of_an_earlier_release_are_acknowledged_and_its_counters_released(
    sequencer: tuple[RedisSequencer, str],
) -> None:
    redis_sequencer, token = sequencer
    for counter in (Counter(token, 1), Counter(token)):
        versions = keys.pending(redis_sequencer, counter)
        redis_sequencer.acknowledge(
            {counter: {number: entry.version.revision for number, entry in versions.items()}}
        )
        assert keys.pending(redis_sequencer, counter) == {}
    assert redis_sequencer.read_unpersisted(Tenant(token, 1), [1]) == UnpersistedChats(
        {1: UnpersistedChat(known=True)}
    )
    assert redis_sequencer.list_overdue([token], 10) == []
    assert set(redis_sequencer.list_idle([token], -1, 10)) == {Counter(token), Counter(token, 1)}
    releasing = redis_sequencer.mark_releasing([Counter(token, 1)], -1)
    assert releasing[Counter(token, 1)].last == 3
