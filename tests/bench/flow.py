"""Records on their way: accepted, taken from the queues, and handed to the workers as Lambda does it."""

import time
from collections.abc import Callable, Iterable
from itertools import batched
from typing import Any

import msgspec
import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.connection import _options
from chalicelib.domain.records import AnyRecord, Message, MessagesRecord
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.accept_messages import number_messages
from tests.bench.api import CONTEXT, Api
from tests.bench.ground import Ground
from tests.bench.texts import lines

CHAT_IDS = """
SELECT c.number, c.id FROM chats c JOIN applications a ON a.id = c.application_id WHERE a.token = %s
"""
# Filling a table takes longer than anything that the product asks for.
READ_TIMEOUT_SECONDS = 600
NOW = "2026-09-21T14:13:20.000Z"

type Handler = Callable[[dict[str, Any], object], dict[str, Any]]


class Flow:
    """An application with chats that are stored, and records of it."""

    def __init__(self, ground: Ground, chats: int) -> None:
        from chalicelib.bootstrap import worker_world

        self.ground, self.world = ground, worker_world()
        self.api = Api(ground.environment["ORDINAL_ADMIN_KEY"])
        self.chats = [self.api.new_chat() for _ in range(chats)]
        self._texts = lines(len(self.chats))
        work_off(ground, "chats")

    def drafts(self, count: int) -> list[Message]:
        """Messages before they have numbers."""
        return [
            Message(
                number=0, revision=0, body=next(self._texts), sender=f"user{i % 50}", created_at=NOW
            )
            for i in range(count)
        ]

    def records(self, count: int) -> list[MessagesRecord]:
        """So many messages, accepted one by one, mixed over the chats; they wait in Redis from now on."""
        made: list[Any] = []
        tenant = Tenant(self.api.token, 1)
        for i, draft in enumerate(self.drafts(count)):
            chat = self.chats[i % len(self.chats)]
            made += number_messages(self.world, tenant, chat, [draft], None)[1]
        return made

    def chat_ids(self, connection: "pymysql.Connection[Cursor]") -> dict[int, int]:
        """The ids of the chats' rows, by number."""
        with connection.cursor() as cursor:
            cursor.execute(CHAT_IDS, (self.api.token,))
            return dict(cursor.fetchall())


def connection_to(ground: Ground) -> "pymysql.Connection[Cursor]":
    """A connection of its own, with the settings that the product's have."""
    return pymysql.connect(**_options(ground.mysql_url, READ_TIMEOUT_SECONDS))


def work_off(ground: Ground, queue: str) -> int:
    """Hand over what waits on a queue, as Lambda's poller does, until nothing is left; how many records."""
    handled = 0
    while event := take(ground, queue):
        assert handler(queue)(event, CONTEXT) == {"batchItemFailures": []}
        handled += len(event["Records"])
        done(ground, queue, event)
    return handled


def take(ground: Ground, queue: str, wait_seconds: int = 0) -> dict[str, Any] | None:
    """What one call to the queue gives, as the worker's event."""
    got = ground.sqs.receive_message(
        QueueUrl=ground.queue_urls[queue],
        MaxNumberOfMessages=10,
        WaitTimeSeconds=wait_seconds,
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
    """Take the records of an event off the queue."""
    entries = [
        {"Id": str(i), "ReceiptHandle": record["receiptHandle"]}
        for i, record in enumerate(event["Records"])
    ]
    for some in batched(entries, 10):
        ground.sqs.delete_message_batch(QueueUrl=ground.queue_urls[queue], Entries=list(some))


def event_of(records: Iterable[AnyRecord]) -> dict[str, Any]:
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


def handler(queue: str) -> Handler:
    """The function that works off a queue."""
    from chalicelib.entrypoints import workers

    of: dict[str, Handler] = {
        "chats": workers.persist_chats,
        "messages": workers.persist_messages,
        "search": workers.index_messages,
    }
    return of[queue]


def hand_over(queue: str, event: dict[str, Any]) -> None:
    """The worker is done with all of the event."""
    assert handler(queue)(event, CONTEXT) == {"batchItemFailures": []}
