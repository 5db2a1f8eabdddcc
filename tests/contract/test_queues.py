"""What the queues promise, on the fake, on moto and on the SQS of the stack."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from chalicelib.adapters.aws import MAX_CALL_BYTES, AwsError, SqsQueues
from chalicelib.domain.errors import OutageError
from chalicelib.domain.limits import MAX_RECORD_BYTES
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    Document,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
)
from chalicelib.settings import QUEUES
from tests.aws_clients import local_client
from tests.contract.conftest import part_url
from tests.fakes.moto_server import moto_server
from tests.fakes.queues import MAX_BYTES, FakeQueues

LEASE = Lease("holder", 1, 1000)
NOW = "2026-01-01T00:00:00.000Z"


def messages(count: int, body: str = "hello") -> MessagesRecord:
    versions = [
        Message(number=i, revision=i, body=body, created_at=NOW) for i in range(1, count + 1)
    ]
    return MessagesRecord(token="t", chat=1, lease=LEASE, messages=versions)


class Both:
    """Queues, and a function that receives from them. `server` names what they run on."""

    def __init__(
        self,
        server: str,
        queues: SqsQueues,
        urls: dict[str, str],
        take: Callable[[str], list[dict[str, str]]],
    ) -> None:
        self.server = server
        self.queues = queues
        self.urls = urls
        self.receive = take

    def take(self, queue: str) -> list[AnyRecord]:
        return [msgspec.json.decode(r["body"], type=AnyRecord) for r in self.receive(queue)]

    def call(self, action: str, **fields: Any) -> dict[str, Any]:
        """One call to SQS itself, on the queue of messages."""
        return self.queues._service.call(action, {"QueueUrl": self.urls["messages"], **fields})


@pytest.fixture(params=["fake", "moto", "sqs"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    if request.param == "fake":
        fake = FakeQueues()

        def take(queue: str) -> list[dict[str, str]]:
            letters = {body: reason for name, body, reason in fake.dead if queue == f"{name}-dead"}
            return [{"body": b, "reason": letters.get(b, "")} for b in fake.take(queue)]

        yield Both("fake", fake, fake.urls, take)
        return
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    if request.param == "moto":
        with moto_server() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            yield from real_queues("moto", url)
    else:
        url = part_url("aws")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield from real_queues("sqs", url)


def real_queues(server: str, url: str) -> Iterator[Both]:
    client, prefix = local_client(url, "sqs"), secrets.token_hex(4)

    def make(name: str) -> str:
        attributes = {"MaximumMessageSize": "1048576"}
        return client.create_queue(QueueName=f"{prefix}-{name}", Attributes=attributes)["QueueUrl"]

    urls = {name: make(name) for name in QUEUES}
    dead_urls = {name: make(f"{name}-dead") for name in urls}

    def take(queue: str) -> list[dict[str, str]]:
        url = dead_urls[queue.removesuffix("-dead")] if queue.endswith("-dead") else urls[queue]
        taken: list[dict[str, str]] = []
        while got := client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["reason"]
        ).get("Messages"):
            for message in got:
                reason = message.get("MessageAttributes", {}).get("reason", {})
                taken.append({"body": message["Body"], "reason": reason.get("StringValue", "")})
        return taken

    with closing(SqsQueues(urls, dead_urls)) as queues:
        yield Both(server, queues, urls, take)
    for url in (*urls.values(), *dead_urls.values()):
        client.delete_queue(QueueUrl=url)


def test_each_record_goes_to_the_queue_of_its_type_unchanged(both: Both) -> None:
    message = Message(
        number=1,
        revision=5,
        body="a\x00😀\ufffe\uffff\u202e",
        metadata={"x": [1.5]},
        created_at=NOW,
    )
    sent: dict[str, list[AnyRecord]] = {
        "messages": [MessagesRecord(token="t", chat=1, lease=LEASE, messages=[message])],
        "chats": [
            ChatsRecord(
                token="t",
                lease=LEASE,
                chats=[Chat(number=1, revision=1, created_at=NOW, messages_lease=LEASE)],
            )
        ],
        "search": [
            DocumentsRecord(documents=[Document(token="t", chat=1, message=message)]),
            PurgeRecord(token="t", chat=2),
            PurgeRecord(token="t"),
        ],
    }
    both.queues.send([record for records in sent.values() for record in records])
    for queue, records in sent.items():
        assert sorted(map(repr, both.take(queue))) == sorted(map(repr, records))


def test_records_for_several_calls_all_arrive(both: Both) -> None:
    both.queues.send(PurgeRecord(token="t", chat=i) for i in range(1, 35))
    got = both.take("search")
    assert sorted(r.chat for r in got if isinstance(r, PurgeRecord) and r.chat) == list(
        range(1, 35)
    )


def test_a_record_that_is_too_large_is_split_until_each_part_fits(both: Both) -> None:
    whole = messages(100, "ä" * 20_000)
    both.queues.send([whole])
    parts = [r for r in both.take("messages") if isinstance(r, MessagesRecord)]
    assert len(parts) <= 8
    assert all(len(msgspec.json.encode(part)) <= MAX_RECORD_BYTES for part in parts)
    assert sorted(m.number for part in parts for m in part.messages) == list(range(1, 101))


def test_sending_nothing_does_nothing(both: Both) -> None:
    both.queues.send([])
    assert both.take("messages") == []


def test_dead_letters_are_counted_by_queue(both: Both) -> None:
    for queue in ("messages", "messages", "search"):
        both.queues.dead_letter(queue, "not json", "no good")
    assert both.queues.dead_letters() == {"inbox": 0, "chats": 0, "messages": 2, "search": 1}


def test_queues_that_are_down_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = SqsQueues({"messages": "http://127.0.0.1:1/0/x"}, {"messages": "http://127.0.0.1:1/0/y"})
    for call in (
        lambda: away.send([messages(1)]),
        lambda: away.dead_letter("messages", "body", "reason"),
        lambda: away.delay("messages", {"receipt": 1}),
        away.dead_letters,
        away.ping,
    ):
        with pytest.raises(OutageError):
            call()


def test_a_dead_lettered_record_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", part_url("aws"))
    client = local_client(part_url("aws"), "sqs")
    url = client.create_queue(QueueName=f"dead-{secrets.token_hex(4)}")["QueueUrl"]
    with closing(SqsQueues({}, {"messages": url})) as queues:
        queues.dead_letter("messages", "not json", "no \x01 good: é" * 200)
    [got] = client.receive_message(QueueUrl=url, MessageAttributeNames=["reason"])["Messages"]
    assert got["Body"] == "not json"
    assert got["MessageAttributes"]["reason"]["StringValue"].startswith("no")
    client.delete_queue(QueueUrl=url)


def test_a_dead_letter_holds_every_character_of_its_record(both: Both) -> None:
    text = "a\x00\x7f😀\ufffe\uffff\u202e\u2028"
    record = PurgeRecord(token=text, chat=1)
    both.queues.dead_letter("search", msgspec.json.encode(record).decode(), f"no good: {text}")
    [letter] = both.receive("search-dead")
    assert msgspec.json.decode(letter["body"], type=AnyRecord) == record
    assert letter["reason"].startswith("no good: a")


@pytest.mark.parametrize("room", [0, 5, 11, 13, 100, 5_000])
def test_a_dead_letter_of_any_size_is_taken_with_as_much_of_its_reason_as_fits(
    both: Both, room: int
) -> None:
    body = "x" * (MAX_CALL_BYTES - room)
    both.queues.dead_letter("search", body, "é" * 2_000)
    [letter] = both.receive("search-dead")
    assert letter["body"] == body
    expected = max(0, min(1_000, (room - len("reasonString")) // 2))
    assert letter["reason"] == "é" * expected


TEXT = {"DataType": "String", "StringValue": "x"}
ENTRY = {"Id": "1", "MessageBody": "x"}
# What SQS refuses, by its documentation: a call, and the servers that are kinder and take it.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
REFUSED: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "a character that is none": ("SendMessage", {"MessageBody": "\ufffe"}, {"moto"}),
    "a control character": ("SendMessage", {"MessageBody": "\x01"}, {"moto"}),
    "an empty body": ("SendMessage", {"MessageBody": ""}, {"moto"}),
    "a body that is too large": ("SendMessage", {"MessageBody": "x" * (MAX_BYTES + 1)}, set()),
    "body and attribute that are too large": (
        "SendMessage",
        {"MessageBody": "x" * (MAX_BYTES - 5), "MessageAttributes": {"reason": TEXT}},
        {"moto"},
    ),
    "a group with a blank": (
        "SendMessage",
        {"MessageBody": "x", "MessageGroupId": "a b"},
        {"moto"},
    ),
    "eleven entries": (
        "SendMessageBatch",
        {"Entries": [{"Id": str(i), "MessageBody": "x"} for i in range(11)]},
        set(),
    ),
    "no entries": ("SendMessageBatch", {"Entries": []}, set()),
    "two entries with one id": ("SendMessageBatch", {"Entries": [ENTRY, ENTRY]}, set()),
    "entries that are too large together": (
        "SendMessageBatch",
        {"Entries": [{"Id": str(i), "MessageBody": "x" * (MAX_BYTES // 2 + 1)} for i in range(2)]},
        set(),
    ),
    "an entry with a character that is none": (
        "SendMessageBatch",
        {"Entries": [{"Id": "1", "MessageBody": "\uffff"}]},
        {"moto"},
    ),
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_sqs_refuses_by_its_documentation_is_refused(both: Both, call: str) -> None:
    action, fields, kinder = REFUSED[call]
    try:
        refused = bool(both.call(action, **fields).get("Failed"))
    except AwsError:
        refused = True
    assert refused == (both.server not in kinder)
