"""Messages on their way through the product: accepted, received from the queues, given to the workers.

Also the texts of the messages.
"""

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import _options
from chalicelib.domain.auth import Tenant
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.usecases.accept import assign_message_numbers
from tests.bench.api import CONTEXT, Api
from tests.bench.harness import Harness

CHAT_IDS = """
SELECT c.number, c.id FROM chats c JOIN applications a ON a.id = c.application_id WHERE a.token = %s
"""
# The benchmark fills tables, which takes longer than any statement of the product.
READ_TIMEOUT_SECONDS = 600
MOST_RECORDS = 10  # the limit of SQS for one call
NOW = "2026-09-21T14:13:20.000Z"


class Pipeline:
    """An application with stored chats, and the ports of a worker."""

    def __init__(self, harness: Harness, chats: int) -> None:
        from chalicelib.bootstrap import worker_ports

        self.ports = worker_ports()
        self.api = Api(harness)
        self.chats = [self.api.new_chat() for _ in range(chats)]
        self._texts = lines(len(self.chats))
        drain(harness, "chats")

    def records(self, count: int) -> list[MessagesRecord]:
        """Accept so many messages, one by one, mixed over the chats. They stay pending in Redis."""
        records: list[Any] = []
        tenant = Tenant(AppToken(self.api.token), 1)
        for i in range(count):
            body, sender = next(self._texts), f"user{i % 50}"
            draft = Message(
                number=MessageNumber(0),
                revision=Revision(0),
                body=body,
                sender=sender,
                created_at=Timestamp(NOW),
            )
            chat = self.chats[i % len(self.chats)]
            records += assign_message_numbers(
                self.ports, tenant, ChatNumber(chat), [draft], None
            ).records
        return records

    def chat_ids(self, connection: "pymysql.Connection[Cursor]") -> dict[int, int]:
        """The ids of the chats' rows, by number."""
        with connection.cursor() as cursor:
            cursor.execute(CHAT_IDS, (self.api.token,))
            return dict(cursor.fetchall())


def connection_to(harness: Harness) -> "pymysql.Connection[Cursor]":
    """A new connection, with the options of the product's connections."""
    return pymysql.connect(**_options(harness.mysql_url, READ_TIMEOUT_SECONDS))


def drain(harness: Harness, queue: str) -> None:
    """Give all records of a queue to its worker, as the poller of Lambda does."""
    while event := receive(harness, queue):
        invoke(queue, event)
        delete(harness, queue, event)


def receive(harness: Harness, queue: str) -> dict[str, Any] | None:
    """The records of one call to the queue, as the event of its worker. None if the queue is empty."""
    messages = harness.sqs.receive_message(
        QueueUrl=harness.queue_urls[queue],
        MaxNumberOfMessages=MOST_RECORDS,
        MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
    ).get("Messages")
    if not messages:
        return None
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in messages
        ]
    }


def delete(harness: Harness, queue: str, event: dict[str, Any]) -> None:
    """Delete the records of one `receive` from the queue."""
    entries: list[Any] = [
        {"Id": str(i), "ReceiptHandle": record["receiptHandle"]}
        for i, record in enumerate(event["Records"])
    ]
    harness.sqs.delete_message_batch(QueueUrl=harness.queue_urls[queue], Entries=entries)


def event_of(records: Iterable[Any]) -> dict[str, Any]:
    """The event that a queue would make of these records."""
    sent = str(int(time.time() * 1000))
    return {
        "Records": [
            {
                "messageId": f"{i:032x}",
                "receiptHandle": f"receipt-{i}",
                "body": msgspec.json.encode(record).decode(),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent},
            }
            for i, record in enumerate(records)
        ]
    }


def invoke(queue: str, event: dict[str, Any]) -> None:
    """Run the worker of the queue on the event. It must process every record."""
    from chalicelib.entrypoints import workers

    handler: Any = {
        "chats": workers.persist_chats,
        "messages": workers.persist_messages,
        "search": workers.index_messages,
    }[queue]
    assert handler(event, CONTEXT) == {"batchItemFailures": []}


WORDS = 20_000
_SYLLABLES = ("ba", "con", "der", "fi", "gru", "hal", "in", "kor", "lu", "mes", "no", "per", "qua")


def lines(seed: int) -> Iterator[str]:
    """Endless made-up chat lines of 3 to 20 words. The same seed gives the same lines."""
    chance = random.Random(seed)
    words = vocabulary()
    while True:
        count = chance.randint(3, 20)
        # The share of a word falls with its rank (Zipf's law).
        yield " ".join(words[int(WORDS ** chance.random()) - 1] for _ in range(count))


def vocabulary() -> list[str]:
    """All words, the most frequent word first."""
    chance = random.Random(0)
    return [
        "".join(chance.choices(_SYLLABLES, k=1 + rank % 4)) + str(rank) for rank in range(WORDS)
    ]
