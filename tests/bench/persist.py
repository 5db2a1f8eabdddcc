"""Persisting and indexing: the workers against the least work that they must do."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from opensearchpy import OpenSearch
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.persist_messages import INSERT, _row
from chalicelib.adapters.opensearch.index import ALIAS, to_action
from chalicelib.domain.queue_records import Document, DocumentsRecord, MessagesRecord
from chalicelib.domain.times import rfc3339
from tests.bench.harness import LEASE_WINDOW, Harness
from tests.bench.measure import Took, by_turns, compared
from tests.bench.pipeline import Pipeline, connection_to, drain, event_of, invoke
from tests.bench.rows import Row

ROUNDS, BATCH, CHATS = 15, 500, 20
OLD_BATCH = 20
DOCUMENTS_A_RECORD = 250


def persist_batch(harness: Harness) -> Iterator[Row]:
    """The store alone; and the whole worker, which also decodes, enqueues documents, and acknowledges."""
    ours = Pipeline(harness, CHATS)
    records = iter([ours.records(BATCH) for _ in range(ROUNDS + 1)])
    works = [
        lambda: ours.ports.store.persistence.persist_messages(next(records), LEASE_WINDOW),
        _insert(harness),
    ]
    yield compared("persist_batch", "rows/s", *_rates(by_turns(works, ROUNDS)), least=0.7)
    events = iter([event_of(ours.records(BATCH)) for _ in range(ROUNDS + 1)])
    works = [lambda: invoke("messages", next(events)), _insert(harness)]
    rates = _rates(by_turns(works, ROUNDS))
    yield compared("persist_batch, whole worker", "rows/s", *rates, least=0.7)
    harness.purge_queues()


def persist_old_style(harness: Harness) -> Iterator[Row]:
    """The worker, alone and with the index worker. The floor does both with one record at a time."""
    ours, floor = Pipeline(harness, CHATS), Pipeline(harness, CHATS)
    persist_record = _old_worker(harness)

    def persist_old() -> None:
        for record in next(old):
            persist_record(record)

    def persist() -> None:
        invoke("messages", next(events))

    def persist_and_index() -> None:
        persist()
        drain(harness, "search")

    for name, work, goal in (
        ("persist_old_style", persist, 25),
        ("persist_old_style, and indexed", persist_and_index, None),
    ):
        events = iter([event_of(ours.records(BATCH)) for _ in range(ROUNDS + 1)])
        old = iter([floor.records(OLD_BATCH) for _ in range(ROUNDS + 1)])
        taken = by_turns([work, persist_old], ROUNDS)
        yield compared(name, "messages/s", *_rates(taken, BATCH, OLD_BATCH), least=goal)
        drain(harness, "search")


def index_batch(harness: Harness) -> Iterator[Row]:
    ours, floor = Pipeline(harness, CHATS), Pipeline(harness, CHATS)
    client = OpenSearch(harness.opensearch_url)
    rounds = ROUNDS + 1
    events = iter([event_of(_documents(ours.records(BATCH))) for _ in range(rounds)])
    bodies = iter(
        [
            b"".join(
                to_action(document)
                for record in _documents(floor.records(BATCH))
                for document in record.documents
            )
            for _ in range(rounds)
        ]
    )

    def bulk() -> None:
        assert not client.bulk(body=next(bodies), index=ALIAS)["errors"]

    taken = by_turns([lambda: invoke("search", next(events)), bulk], ROUNDS)
    yield compared("index_batch", "documents/s", *_rates(taken), least=0.8)


def _insert(harness: Harness) -> Callable[[], None]:
    """One INSERT of the same rows into the same table, in each round."""
    pipeline, connection = Pipeline(harness, CHATS), connection_to(harness)
    ids = pipeline.chat_ids(connection)
    raw = iter([_rows(ids, pipeline.records(BATCH)) for _ in range(ROUNDS + 1)])

    def insert() -> None:
        rows = next(raw)
        with connection.cursor() as cursor:
            connection.begin()
            cursor.executemany(INSERT, rows)
            connection.commit()

    return insert


def _rates(
    taken: Sequence[Sequence[Took]], ours: int = BATCH, floors: int = BATCH
) -> tuple[list[float], list[float]]:
    """The rate of each round."""
    first, second = taken
    return [ours / took.wall for took in first], [floors / took.wall for took in second]


def _rows(ids: Mapping[int, int], records: Sequence[MessagesRecord]) -> list[tuple[object, ...]]:
    """The rows that the worker would write for these records."""
    return [_row(ids[r.chat], m.number, m) for r in records for m in r.messages]


def _documents(records: Sequence[MessagesRecord]) -> list[DocumentsRecord]:
    documents = [
        Document(token=r.token, chat=r.chat, message=m) for r in records for m in r.messages
    ]
    now = rfc3339(round(time.time() * 1000))
    return [
        DocumentsRecord(documents=documents[at : at + DOCUMENTS_A_RECORD], stored_at=now)
        for at in range(0, len(documents), DOCUMENTS_A_RECORD)
    ]


def _old_worker(harness: Harness) -> Callable[[MessagesRecord], None]:
    """A worker for one record: look-ups, a transaction with the insert and the count, a call to the index."""
    connection, client = connection_to(harness), OpenSearch(harness.opensearch_url)

    def select_id(cursor: Cursor, sql: str, *args: object) -> Any:
        cursor.execute(sql, args)
        [(id_,)] = cursor.fetchall()
        return id_

    def work(record: MessagesRecord) -> None:
        [message] = record.messages
        with connection.cursor() as cursor:
            application = select_id(
                cursor, "SELECT id FROM applications WHERE token = %s", record.token
            )
            chat = select_id(
                cursor,
                "SELECT id FROM chats WHERE application_id = %s AND number = %s",
                application,
                record.chat,
            )
            connection.begin()
            cursor.execute(INSERT, _row(chat, message.number, message))
            cursor.execute(
                "UPDATE chats SET messages_count = messages_count + 1 WHERE id = %s", (chat,)
            )
            connection.commit()
        document = Document(token=record.token, chat=record.chat, message=message)
        head, source = map(msgspec.json.decode, to_action(document).splitlines())
        client.index(
            index=ALIAS,
            id=head["index"]["_id"],
            routing=record.token,
            body=source,
            params={"version": message.revision, "version_type": "external_gte"},
        )

    return work
