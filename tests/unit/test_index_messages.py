"""The index worker: late documents, removals, refused documents, and a slow OpenSearch."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chalicelib.domain.errors import OutageError
from chalicelib.domain.queue_records import (
    Document,
    DocumentsRecord,
    PurgeRecord,
    RefusedDocument,
    SearchRecord,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.maintenance import purge_deleted
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.process_batch import Received, process_batch
from chalicelib.usecases.search import index_messages
from tests.contract.factories import NOW, chat, chats, message, messages
from tests.fakes.clock import FakeClock
from tests.fakes.ports import FakePorts, far_deadline
from tests.fakes.search_index import FakeSearchIndex

TOKEN = "an-application"
HOUR_SECONDS = 3600


@pytest.fixture
def ports() -> FakePorts:
    """An application with two chats. A message of each is queued for the index."""
    ports = FakePorts()
    ports.store.applications.create_application(TOKEN, "x", NOW)
    ports.store.persistence.persist_chats([chats(TOKEN, chat(1), chat(2))], 10)
    return ports


def documents(ports: FakePorts, stored_at: str | msgspec.UnsetType) -> list[SearchRecord]:
    """Records of a message in each chat."""
    return [
        DocumentsRecord(
            documents=[Document(token=TOKEN, chat=number, message=message(1))], stored_at=stored_at
        )
        for number in (1, 2)
    ]


def hits(ports: FakePorts) -> set[int]:
    return {chat for _, chat, _ in ports.index.documents}


def delete(ports: FakePorts, number: int) -> None:
    """The deletion has an old time, but is stored only now. Then the schedule runs."""
    persist_chats(ports, [chats(TOKEN, chat(number, 2, deleted_at=NOW))])
    purge_deleted(ports, far_deadline())
    ports.persist()


@pytest.mark.parametrize("is_known", [True, False])
def test_late_documents_of_a_deleted_chat_are_left_out(ports: FakePorts, is_known: bool) -> None:
    records = documents(ports, rfc3339(ports.clock.now_ms()) if is_known else msgspec.UNSET)
    delete(ports, 2)
    ports.clock.wait(HOUR_SECONDS)
    index_messages(ports, records, far_deadline())
    assert hits(ports) == {1}


def test_late_documents_of_a_deleted_application_are_left_out(ports: FakePorts) -> None:
    records = documents(ports, rfc3339(ports.clock.now_ms()))
    delete_application(ports, TOKEN, None)
    ports.clock.wait(HOUR_SECONDS)
    for _ in range(3):
        purge_deleted(ports, far_deadline())
    assert not ports.store.applications.list_tokens(0, 10)
    index_messages(ports, records, far_deadline())
    assert hits(ports) == set()


def test_documents_indexed_before_the_last_removal_are_removed_by_it(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read from MySQL: the last removal of the deleted chat runs afterwards."""
    records = documents(ports, rfc3339(ports.clock.now_ms()))
    delete(ports, 2)
    with monkeypatch.context() as patched:
        patched.delattr(type(ports.store.chats), "existing_chats")
        ports.clock.wait(299)
        index_messages(ports, records, far_deadline())
    assert hits(ports) == {1, 2}
    ports.clock.wait(602)
    purge_deleted(ports, far_deadline())
    ports.persist()
    assert hits(ports) == {1}


def test_a_document_record_has_the_time_of_storing(ports: FakePorts) -> None:
    persist_messages(ports, [messages(TOKEN, message(1))])
    [body] = ports.queues.take("search")
    assert msgspec.json.decode(body)["stored_at"] == rfc3339(ports.clock.now_ms())


class SlowIndex(FakeSearchIndex):
    """Takes a fixed time for each document and each request. It notes every request and its size."""

    def __init__(
        self, clock: FakeClock, seconds_a_document: float, seconds_a_request: float
    ) -> None:
        super().__init__()
        self._clock = clock
        self._seconds_a_document, self._seconds_a_request = seconds_a_document, seconds_a_request
        self.bulks: list[int] = []
        self.removals: list[tuple[str, Sequence[int] | None]] = []
        self.refreshes = 0

    def index(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        self._clock.wait(self._seconds_a_request + len(documents) * self._seconds_a_document)
        self.bulks.append(len(documents))
        return super().index(documents)

    def refresh(self) -> None:
        self._clock.wait(self._seconds_a_request)
        self.refreshes += 1
        super().refresh()

    def purge(self, token: str, chats: Sequence[int] | None) -> bool:
        self._clock.wait(self._seconds_a_request)
        self.removals.append((token, chats))
        return super().purge(token, chats)


def slow(
    ports: FakePorts, seconds_a_document: float = 0, seconds_a_request: float = 0
) -> SlowIndex:
    """Give the ports a slow index."""
    index: Any = SlowIndex(ports.clock, seconds_a_document, seconds_a_request)
    ports.index = index
    slow_index: SlowIndex = index
    return slow_index


def deliver(ports: FakePorts, *records: SearchRecord) -> list[str]:
    """Invoke the worker, which has 30 s. Returns the ids of the records that come again: their indexes."""
    deadline = ports.clock.deadline(30)
    bodies = [msgspec.json.encode(record).decode() for record in records]
    return process_batch(
        ports,
        "search",
        [Received(str(n), str(n), body, 1, ports.clock.now_ms()) for n, body in enumerate(bodies)],
        msgspec.json.Decoder(SearchRecord).decode,
        lambda batch: index_messages(ports, batch, deadline),
        deadline,
    )


def many_documents(ports: FakePorts, count: int) -> list[SearchRecord]:
    """Records of 250 documents each, as the first worker sends them."""
    now = rfc3339(ports.clock.now_ms())
    return [
        DocumentsRecord(
            documents=[
                Document(token=TOKEN, chat=1, message=message(number))
                for number in range(first, min(first + 250, count + 1))
            ],
            stored_at=now,
        )
        for first in range(1, count + 1, 250)
    ]


@pytest.mark.parametrize("seconds_a_document", [0.0006, 0.006, 0.018])
def test_a_batch_ends_in_time_however_slow_the_index_is(
    ports: FakePorts, seconds_a_document: float
) -> None:
    index = slow(ports, seconds_a_document)
    records, started_at_ms = many_documents(ports, 45_991), ports.clock.now_ms()
    again = deliver(ports, *records)
    assert ports.clock.now_ms() - started_at_ms < 27_000
    assert again == [
        str(index) for index in range(len(records)) if index >= len(records) - len(again)
    ]
    assert sum(index.bulks) == sum(len(r.documents) for r in records[: len(records) - len(again)])
    assert sum(index.bulks) >= 500
    assert set(ports.queues.delays.values()) <= {0}


def test_a_slow_index_gets_all_documents_in_the_end(ports: FakePorts) -> None:
    slow(ports, seconds_a_document=0.004)
    left, deliveries = many_documents(ports, 20_000), 0
    while left:
        left = [left[int(index)] for index in deliver(ports, *left)]
        deliveries += 1
    assert len(ports.index.documents) == 20_000
    assert deliveries <= 8


def test_500_removals_are_one_refresh_and_one_request_for_each_application(
    ports: FakePorts,
) -> None:
    index = slow(ports, seconds_a_request=0.1)
    twice = [PurgeRecord(token=f"app-{n % 5}", chat=n // 5 % 50) for n in range(498)]
    whole = [PurgeRecord(token="app-9", chat=3), PurgeRecord(token="app-9")]
    assert deliver(ports, *twice, *whole) == []
    assert index.refreshes == 1
    assert sorted(token for token, _ in index.removals) == [
        *(f"app-{n}" for n in range(5)),
        "app-9",
    ]
    assert sum(len(chats) for _, chats in index.removals if chats) == 250
    assert ("app-9", None) in index.removals


def test_a_removal_of_thousands_of_chats_has_a_bounded_number_of_terms(ports: FakePorts) -> None:
    index = slow(ports)
    records = [PurgeRecord(token=TOKEN, chat=n) for n in range(1, 2_001)]
    index_messages(ports, records, far_deadline())
    assert [len(chats or ()) for _, chats in index.removals] == [1_000, 1_000]


def test_removals_stop_before_the_deadline_and_the_rest_comes_again_at_once(
    ports: FakePorts,
) -> None:
    index = slow(ports, seconds_a_request=2)
    started_at_ms = ports.clock.now_ms()
    records = [PurgeRecord(token=f"app-{n}", chat=1) for n in range(500)]
    again = deliver(ports, *records)
    assert ports.clock.now_ms() - started_at_ms < 20_000
    assert len(again) + len(index.removals) == 500
    assert len(index.removals) > 3
    assert set(ports.queues.delays.values()) == {0}


def test_a_removal_of_more_than_one_request_can_do_is_repeated(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, results = slow(ports), iter([False, False, True])
    monkeypatch.setattr(index, "purge", lambda *_: next(results))
    assert deliver(ports, PurgeRecord(token=TOKEN, chat=1)) == []
    assert index.refreshes == 3


def test_a_removal_that_fails_delays_no_document_and_no_other_removal(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = slow(ports)
    purge = index.purge

    def fail_for_a(token: str, chats: Sequence[int] | None) -> bool:
        if token == "app-a":
            raise OutageError("the shard of A does not respond")
        return purge(token, chats)

    monkeypatch.setattr(index, "purge", fail_for_a)
    records = [PurgeRecord(token=f"app-{name}", chat=1) for name in "bac"]
    assert deliver(ports, *records, *many_documents(ports, 10)) == ["1"]
    assert [token for token, _ in index.removals] == ["app-b", "app-c"]
    assert sum(index.bulks) == 10


def test_a_document_that_the_index_refuses_for_now_delays_no_other_record(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = many_documents(ports, 750)
    index = FakeSearchIndex.index

    def refuse(self: FakeSearchIndex, documents: Sequence[Document]) -> list[RefusedDocument]:
        busy = [d for d in documents if d.message.number == 300]
        return [*index(self, documents), *(RefusedDocument(d, "503 no shard", True) for d in busy)]

    monkeypatch.setattr(FakeSearchIndex, "index", refuse)
    assert deliver(ports, *records) == ["1"]
    assert ports.queues.dead == []
    assert ports.metrics.counts["MessagesIndexed"] == 749


def test_refused_documents_are_one_dead_letter_of_their_record(ports: FakePorts) -> None:
    [record] = many_documents(ports, 3)
    assert isinstance(record, DocumentsRecord)
    bad = [
        Document(token=TOKEN, chat=1, message=message(n, body="\uffff", created_at="yesterday"))
        for n in (7, 8)
    ]
    assert deliver(ports, replace(record, documents=[*record.documents, *bad])) == []
    [(queue, letter, reason)] = ports.queues.dead
    assert queue == "search"
    assert msgspec.json.decode(letter, type=DocumentsRecord).documents == bad
    assert "yesterday" in reason
    assert len(ports.index.documents) == 3
    assert ports.metrics.counts["MessagesIndexed"] == 3


def test_late_documents_wait_for_mysql_and_no_others_do(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OutageError("MySQL does not respond")

    late = documents(ports, rfc3339(ports.clock.now_ms()))
    ports.clock.wait(HOUR_SECONDS)
    monkeypatch.setattr(ports.store.chats, "existing_chats", fail)
    assert deliver(ports, *late, *many_documents(ports, 300)) == ["0", "1"]
    assert len(ports.index.documents) == 300
