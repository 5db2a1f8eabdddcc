"""Late documents: nothing of a deleted chat stays in the index."""

import msgspec
import pytest

from chalicelib.domain.queue_records import Document, DocumentsRecord, SearchRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.maintenance import purge_deleted
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.search import index_messages
from tests.contract.factories import NOW, chat, chats, message, messages
from tests.fakes.ports import FakePorts, far_deadline

TOKEN = "an application"
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
    index_messages(ports, records)
    assert hits(ports) == {1}


def test_late_documents_of_a_deleted_application_are_left_out(ports: FakePorts) -> None:
    records = documents(ports, rfc3339(ports.clock.now_ms()))
    delete_application(ports, TOKEN, None)
    ports.clock.wait(HOUR_SECONDS)
    for _ in range(3):
        purge_deleted(ports, far_deadline())
    assert not ports.store.applications.list_tokens(0, 10)
    index_messages(ports, records)
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
        index_messages(ports, records)
    assert hits(ports) == {1, 2}
    ports.clock.wait(602)
    purge_deleted(ports, far_deadline())
    ports.persist()
    assert hits(ports) == {1}


def test_a_document_record_has_the_time_of_storing(ports: FakePorts) -> None:
    persist_messages(ports, [messages(TOKEN, message(1))])
    [body] = ports.queues.take("search")
    assert msgspec.json.decode(body)["stored_at"] == rfc3339(ports.clock.now_ms())
