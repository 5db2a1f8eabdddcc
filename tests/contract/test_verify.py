"""`verify` reports a planted difference of each kind on real stores, and which differences are temporary."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import redis

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.redis.codec import counter_key
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Accepted, Counter, LeaseGrant, LeaseMissing
from chalicelib.domain.models import Lease, Message
from chalicelib.domain.queue_records import Document
from chalicelib.operators import verify_index
from chalicelib.operators.errors import NoSuchApplicationError
from chalicelib.operators.pending import connect
from chalicelib.operators.verify import Report, verify
from chalicelib.operators.verify_counters import incarnation
from chalicelib.operators.verify_index import IndexCheck
from tests.contract.conftest import part_url
from tests.contract.factories import (
    NOW,
    application,
    cache_application,
    chat,
    chats,
    deleted,
    message,
)
from tests.contract.indexed import Indexed, indexed
from tests.fakes.clock import FakeClock


@pytest.fixture
def system() -> Iterator[Indexed]:
    with indexed() as made:
        yield made


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with connect(part_url("redis")) as made:
        yield made


def verified(
    system: Indexed,
    client: redis.Redis,
    only: str | None = None,
    queued: Callable[[], int] = lambda: 0,
) -> Report:
    with closing(system.scanner()) as scanner:
        check = IndexCheck(scanner, system.reader, queued, seconds=1)
        return verify(system.store, client, check, only)


def change(system: Indexed, sql: str) -> None:
    """Write into the tables by hand."""
    database = Database(system.mysql_url)
    database.transact(lambda cursor: cursor.execute(sql))
    database.close()


def test_stores_that_hold_the_same_have_no_difference(system: Indexed, client: redis.Redis) -> None:
    token = system.application(30)
    for number in range(1, 31):
        system.fill(token, number, number % 13)
    system.fill(token, 4, 55)
    system.store_and_index(token, 4, deleted(50, 2), message(51, 3))
    system.delete_chat(token, 12)
    report = verified(system, client)
    assert not report.differs
    assert report == Report(applications=1, messages=len(system.indexed()))


def test_missing_older_newer_and_unknown_documents_are_counted(
    system: Indexed, client: redis.Redis
) -> None:
    token, other = system.application(3), system.application(1)
    system.fill(token, 1, 25)
    system.store_only(token, 1, *(message(number) for number in range(26, 30)))
    system.store_only(token, 1, message(7, 2), message(8, 2), deleted(9, 2))
    index(system, token, 1, message(3, 9))
    index(system, token, 1, message(200), message(201))
    index(system, token, 2, message(1))
    index(system, "gone", 5, *(message(number) for number in range(1, 7)))
    report = verified(system, client)
    assert report.differs
    assert (report.messages, report.missing_in_opensearch) == (29, 4)
    assert (report.older_in_opensearch, report.newer_in_opensearch) == (3, 1)
    assert report.only_in_opensearch == 2 + 1 + 6
    assert f"missing: {token} chat 1 message 26" in report.examples
    assert verified(system, client, token).only_in_opensearch == 3
    assert not verified(system, client, other).differs


def test_more_differences_than_the_limit_of_candidates_are_counted_exactly(
    system: Indexed, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_index, "MAX_CANDIDATES", 5)
    token = system.application(2)
    documents = system.store_only(token, 1, *(message(number) for number in range(1, 46)))
    system.store_only(token, 2, *(message(number) for number in range(1, 31)))
    assert verified(system, client).missing_in_opensearch == 75
    records = [2, 1, 0, 0]

    def queued() -> int:
        if records[0] == 1:
            system.index.index(documents)
        return records.pop(0) if len(records) > 1 else 0

    assert verified(system, client, queued=queued).missing_in_opensearch == 30


def index(system: Indexed, token: str, chat: int, *versions: Message) -> None:
    system.index.index([Document(token=token, chat=chat, message=m) for m in versions])


def test_differences_are_temporary_while_records_wait_in_the_queues(
    system: Indexed, client: redis.Redis
) -> None:
    token = system.application(1)
    system.fill(token, 1, 20)
    system.store_only(token, 1, message(21), message(2, 2))
    report = verified(system, client, queued=lambda: 1)
    assert not report.differs
    assert report.temporary == {"missing_in_opensearch": 1, "older_in_opensearch": 1}
    assert verified(system, client).differs


def test_a_document_that_arrives_before_the_second_comparison_is_no_difference(
    system: Indexed, client: redis.Redis
) -> None:
    token = system.application(1)
    documents = system.store_only(token, 1, message(1), message(2))
    records = [2, 1, 0]

    def queued() -> int:
        if records[0] == 1:
            system.index.index(documents)
        return records.pop(0) if len(records) > 1 else records[0]

    report = verified(system, client, queued=queued)
    assert not report.differs
    assert report.temporary == {}


def test_documents_of_a_deleted_chat_are_temporary_until_their_last_removal(
    system: Indexed, client: redis.Redis
) -> None:
    token = system.application(2)
    system.fill(token, 1, 5)
    deletion = chat(1, 2, deleted_at=NOW)
    system.store.persistence.persist_chats([chats(token, deletion)], 1000)
    report = verified(system, client)
    assert not report.differs
    assert report.temporary == {"only_in_opensearch": 5}
    change(system, "UPDATE chats SET purged_at = deleted_at WHERE number = 1")
    assert verified(system, client).only_in_opensearch == 5


def accepted(system: Indexed, client: redis.Redis, token: str, count: int) -> RedisSequencer:
    """Redis has issued numbers of chat 1, under a lease that MySQL knows."""
    sequencer = RedisSequencer(part_url("redis"), FakeClock(), 1000)
    cache_application(sequencer, application(token))
    drafts = [Message(number=0, revision=0, body="b", created_at=NOW) for _ in range(count)]
    counter = Counter(token, 1)
    missing = sequencer.accept(Tenant(counter.token, 1), counter, drafts)
    assert isinstance(missing, LeaseMissing)
    sequencer.install_lease(counter, missing.nonce, LeaseGrant(0, Lease(missing.holder, 1, 10)))
    assert isinstance(sequencer.accept(Tenant(counter.token, 1), counter, drafts), Accepted)
    return sequencer


def test_pending_versions_are_temporary_differences(system: Indexed, client: redis.Redis) -> None:
    token = system.application(1)
    accepted(system, client, token, 3).close()
    system.store_and_index(token, 1, message(1, 2**40), message(2, 1))
    report = verified(system, client)
    assert not report.differs
    assert report.temporary == {"pending_and_stored": 1, "pending_not_stored": 2}


def test_a_counter_that_mysql_contradicts_is_counted(system: Indexed, client: redis.Redis) -> None:
    token = system.application(1)
    accepted(system, client, token, 3).close()
    system.fill(token, 1, 3)
    assert not verified(system, client).differs
    name = counter_key(Counter(token, 1))
    client.hset(name, "last", 2)
    report = verified(system, client)
    assert (report.differs, report.counters_behind, report.ceilings_too_high) == (True, 1, 0)
    client.hset(name, mapping={"last": 3, "ceiling": 10**7})
    report = verified(system, client)
    assert (report.counters_behind, report.ceilings_too_high) == (0, 1)
    client.hset(name, "holder", "another-incarnation")
    assert not verified(system, client).differs
    client.delete(name)
    assert not verified(system, client).differs


def test_the_counter_of_chat_numbers_is_compared_too(system: Indexed, client: redis.Redis) -> None:
    token = system.application(3)
    name = counter_key(Counter(token))
    client.hset(name, mapping={"last": 2, "ceiling": 5, "holder": incarnation(client)})
    report = verified(system, client)
    assert report.counters_behind == 1
    assert report.examples == [f"counter: {token} chats: last is 2, but MySQL has stored 3"]


def test_the_incarnation_has_the_name_that_the_scripts_give_it(client: redis.Redis) -> None:
    sequencer = RedisSequencer(part_url("redis"), FakeClock(), 1000)
    cache_application(sequencer, application("incarnation"))
    draft = Message(number=0, revision=0, body="b", created_at=NOW)
    missing = sequencer.accept(Tenant("incarnation", 1), Counter("incarnation", 1), [draft])
    assert isinstance(missing, LeaseMissing)
    assert missing.holder == incarnation(client)
    sequencer.abandon_nonce(Counter("incarnation", 1), missing.nonce)
    sequencer.close()


def test_wrong_counts_differ_and_skipped_numbers_do_not(
    system: Indexed, client: redis.Redis
) -> None:
    token = system.application(1)
    system.fill(token, 1, 5)
    change(
        system,
        "INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)"
        " SELECT application_id, id, 6, 10, created_at FROM chats",
    )
    report = verified(system, client)
    assert (report.differs, report.skipped_numbers) == (False, 5)
    change(system, "UPDATE chats SET messages_count = 4")
    report = verified(system, client)
    assert (report.differs, report.counts_wrong) == (True, 1)


def test_an_unknown_application_is_an_error(system: Indexed, client: redis.Redis) -> None:
    with pytest.raises(NoSuchApplicationError, match="there is no application nobody"):
        verified(system, client, "nobody")
