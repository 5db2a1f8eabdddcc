"""Records on their way: accepted, taken from the queues, and handed to the workers as Lambda does it."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec
import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import _options
from chalicelib.domain.auth import Tenant
from chalicelib.domain.models import Message
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.usecases.accept import assign_message_numbers
from tests.bench.api import CONTEXT, Api
from tests.bench.ground import Ground
from tests.bench.texts import lines

CHAT_IDS = """
SELECT c.number, c.id FROM chats c JOIN applications a ON a.id = c.application_id WHERE a.token = %s
"""
# Filling a table takes longer than anything that the product asks for.
READ_TIMEOUT_SECONDS = 600
MOST_RECORDS = 10  # that SQS gives, or takes, in one call
NOW = "2026-09-21T14:13:20.000Z"


class Flow:
    """An application with chats that are stored, and records of it."""

    def __init__(self, ground: Ground, chats: int) -> None:
        from chalicelib.bootstrap import worker_ports

        self.ports = worker_ports()
        self.api = Api(ground)
        self.chats = [self.api.new_chat() for _ in range(chats)]
        self._texts = lines(len(self.chats))
        process_batch(ground, "chats")

    def records(self, count: int) -> list[MessagesRecord]:
        """So many messages, accepted one by one, mixed over the chats; they wait in Redis from now on."""
        made: list[Any] = []
        tenant = Tenant(self.api.token, 1)
        for i in range(count):
            body, sender = next(self._texts), f"user{i % 50}"
            draft = Message(number=0, revision=0, body=body, sender=sender, created_at=NOW)
            chat = self.chats[i % len(self.chats)]
            made += assign_message_numbers(self.ports, tenant, chat, [draft], None)[1]
        return made

    def chat_ids(self, connection: "pymysql.Connection[Cursor]") -> dict[int, int]:
        """The ids of the chats' rows, by number."""
        with connection.cursor() as cursor:
            cursor.execute(CHAT_IDS, (self.api.token,))
            return dict(cursor.fetchall())


def connection_to(ground: Ground) -> "pymysql.Connection[Cursor]":
    """A connection of its own, with the settings that the product's have."""
    return pymysql.connect(**_options(ground.mysql_url, READ_TIMEOUT_SECONDS))


def process_batch(ground: Ground, queue: str) -> None:
    """Hand over what waits on a queue, as Lambda's poller does, until nothing is left."""
    while event := take(ground, queue):
        enqueue(queue, event)
        done(ground, queue, event)


def take(ground: Ground, queue: str) -> dict[str, Any] | None:
    """What one call to the queue gives, as the worker's event."""
    got = ground.sqs.receive_message(
        QueueUrl=ground.queue_urls[queue],
        MaxNumberOfMessages=MOST_RECORDS,
        MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
    ).get("Messages")
    if not got:
        return None
    return {
        "Records": [
            {
                "messageId": one["MessageId"],
                "receiptHandle": one["ReceiptHandle"],
                "body": one["Body"],
                "attributes": one["Attributes"],
            }
            for one in got
        ]
    }


def done(ground: Ground, queue: str, event: dict[str, Any]) -> None:
    """Take the records of one `take` off the queue."""
    entries: list[Any] = [
        {"Id": str(i), "ReceiptHandle": record["receiptHandle"]}
        for i, record in enumerate(event["Records"])
    ]
    ground.sqs.delete_message_batch(QueueUrl=ground.queue_urls[queue], Entries=entries)


def event_of(records: Iterable[Any]) -> dict[str, Any]:
    """Records as the event that brings them, without a queue."""
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


def enqueue(queue: str, event: dict[str, Any]) -> None:
    """The function that works off the queue is done with all of the event."""
    from chalicelib.entrypoints import workers

    handler: Any = {
        "chats": workers.persist_chats,
        "messages": workers.persist_messages,
        "search": workers.index_messages,
    }[queue]
    assert handler(event, CONTEXT) == {"batchItemFailures": []}
