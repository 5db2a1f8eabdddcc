"""Records of other versions: with fewer fields, with more fields, and unreadable for this version."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chalicelib.domain.inbox import decode_inbox
from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.usecases.process_batch import Received, process_batch
from tests.fakes.ports import FakePorts, far_deadline

NOW = "2026-01-31T12:00:00.000Z"
# The records that every release so far writes.
RECORDS = (Path(__file__).parents[1] / "contract/releases/records.ndjson").read_text().splitlines()
# The records that another service writes.
INBOX = [
    '{"type":"message.create","v":1,"token":"app","chat":1,"key":"key-1","body":"apples"}',
    '{"type":"chat.create","token":"app","key":"key-2","title":"a chat"}',
]
DECODERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "chats": ("chats", msgspec.json.Decoder(ChatsRecord).decode),
    "messages": ("messages", msgspec.json.Decoder(MessagesRecord).decode),
    "documents": ("search", msgspec.json.Decoder(SearchRecord).decode),
    "purge": ("search", msgspec.json.Decoder(SearchRecord).decode),
    "message.create": ("inbox", lambda body: decode_inbox(body, NOW)),
    "chat.create": ("inbox", lambda body: decode_inbox(body, NOW)),
}


def decoder(body: str) -> tuple[str, Callable[[str], Any]]:
    """The queue of a record, and the decoder of its worker."""
    return DECODERS[json.loads(body)["type"]]


def deliver(ports: FakePorts, *bodies: str) -> list[Any]:
    """The records that the worker's handler receives. None of them is retried."""
    handled: list[Any] = []

    def handle(records: Sequence[Any]) -> None:
        handled.extend(records)

    queue, decode = decoder(bodies[0])
    received = [Received(f"id-{i}", f"r-{i}", body, 1, 0) for i, body in enumerate(bodies)]
    assert process_batch(ports, queue, received, decode, handle, far_deadline()) == []
    return handled


@pytest.mark.parametrize("body", RECORDS)
def test_a_field_that_a_later_version_adds_is_ignored(body: str) -> None:
    later = json.dumps(json.loads(body) | {"added": {"later": True}})
    assert deliver(FakePorts(), later) == deliver(FakePorts(), body)


@pytest.mark.parametrize("body", RECORDS + INBOX)
@pytest.mark.parametrize("change", [{"v": 2}, {"type": "later"}], ids=["version", "type"])
def test_an_unreadable_record_is_dead_lettered_whole_with_its_reason(
    body: str, change: dict[str, Any]
) -> None:
    ports, later = FakePorts(), json.dumps(json.loads(body) | change)
    queue, decode = decoder(body)
    assert deliver(ports, body, later) == [decode(body)]
    [(dead_queue, dead_lettered, reason)] = ports.queues.dead
    assert (dead_queue, dead_lettered) == (queue, later)
    assert reason.startswith("not a record that this version can read: ")
