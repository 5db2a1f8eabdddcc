"""What comes late to the index: nothing of a deleted chat stays in it."""

import msgspec
import pytest

from chalicelib.domain.queue_records import Document, DocumentsRecord, SearchRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.maintenance import purge_deleted
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.search import index_messages
from tests.contract.states import NOW, chat, chats, message, messages
from tests.fakes.world import FakeWorld

TOKEN = "an application"
HOUR_SECONDS = 3600


@pytest.fixture
def world() -> FakeWorld:
    """An application with two chats; a message of each is on its way to the index."""
    world = FakeWorld()
    world.store.create_application(TOKEN, "x", NOW)
    world.store.persist_chats([chats(TOKEN, chat(1), chat(2))], 10)
    return world


def documents(world: FakeWorld, stored_at: str | msgspec.UnsetType) -> list[SearchRecord]:
    """Records of a message in each chat."""
    return [
        DocumentsRecord(
            documents=[Document(token=TOKEN, chat=number, message=message(1))], stored_at=stored_at
        )
        for number in (1, 2)
    ]


def found(world: FakeWorld) -> set[int]:
    return {chat for _, chat, _ in world.index.documents}


def delete(world: FakeWorld, number: int) -> None:
    """The record says that it was deleted long ago; it is stored only now, and the schedule runs."""
    persist_chats(world, [chats(TOKEN, chat(number, 2, deleted_at=NOW))])
    purge_deleted(world)
    world.persist()


@pytest.mark.parametrize("is_known", [True, False])
def test_late_documents_of_a_deleted_chat_are_left_out(world: FakeWorld, is_known: bool) -> None:
    records = documents(world, rfc3339(world.clock.now_ms()) if is_known else msgspec.UNSET)
    delete(world, 2)
    world.clock.wait(HOUR_SECONDS)
    index_messages(world, records)
    assert found(world) == {1}


def test_late_documents_of_a_deleted_application_are_left_out(world: FakeWorld) -> None:
    records = documents(world, rfc3339(world.clock.now_ms()))
    delete_application(world, TOKEN)
    world.clock.wait(HOUR_SECONDS)
    for _ in range(3):
        purge_deleted(world)
    assert not world.store.list_tokens(None, 10)
    index_messages(world, records)
    assert found(world) == set()


def test_what_comes_in_time_is_removed_later(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL is not asked about it: the last removal of a deleted chat comes after it."""
    records = documents(world, rfc3339(world.clock.now_ms()))
    delete(world, 2)
    with monkeypatch.context() as patched:
        patched.delattr(type(world.store), "live_chats")
        world.clock.wait(299)
        index_messages(world, records)
    assert found(world) == {1, 2}
    world.clock.wait(602)
    purge_deleted(world)
    world.persist()
    assert found(world) == {1}


def test_what_is_persisted_says_when(world: FakeWorld) -> None:
    persist_messages(world, [messages(TOKEN, message(1))])
    [body] = world.queues.take("search")
    assert msgspec.json.decode(body)["stored_at"] == rfc3339(world.clock.now_ms())
