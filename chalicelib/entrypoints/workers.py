"""Doors of the queues: a batch of records in, the ids of those that must come again out."""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import msgspec
from chalice import Blueprint
from chalice.app import SQSEvent

from chalicelib.bootstrap import worker_ports
from chalicelib.domain.inbox import decode_inbox
from chalicelib.domain.metrics import ERRORS
from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.domain.times import rfc3339
from chalicelib.entrypoints import log
from chalicelib.settings import Settings
from chalicelib.usecases import inbox, persist, search
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import Received, process_batch

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_STAGE = Settings.from_env().stage
# A record can hold 500 messages, and one transaction takes a batch: large batches spread the cost of a
# commit, a window of a second lets them fill. `maximum_concurrency` keeps Lambda from taking records that
# no process would be free for, which would count as a failed try (docs/deployment.md).
_BATCH: dict[str, Any] = {"batch_size": 500, "maximum_batching_window_in_seconds": 1}


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-inbox", name="accept_inbox", maximum_concurrency=20, **_BATCH
)
def accept_inbox(event: SQSEvent) -> dict[str, Any]:
    now = rfc3339(worker_ports().clock.now_ms())
    return _work_off("inbox", event, lambda body: decode_inbox(body, now), inbox.accept_inbox)


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-chats", name="persist_chats", maximum_concurrency=10, **_BATCH
)
def persist_chats(event: SQSEvent) -> dict[str, Any]:
    return _work_off("chats", event, _decoder(ChatsRecord), persist.persist_chats)


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-messages", name="persist_messages", maximum_concurrency=40, **_BATCH
)
def persist_messages(event: SQSEvent) -> dict[str, Any]:
    return _work_off("messages", event, _decoder(MessagesRecord), persist.persist_messages)


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-search", name="index_messages", maximum_concurrency=20, **_BATCH
)
def index_messages(event: SQSEvent) -> dict[str, Any]:
    return _work_off("search", event, _decoder(SearchRecord), search.index_messages)


def _decoder(kind: Any) -> Callable[[str], Any]:
    return msgspec.json.Decoder(kind).decode


def _work_off(
    queue: str,
    event: SQSEvent,
    decode: Callable[[str], Any],
    handle: Callable[[Ports, Sequence[Any]], None],
) -> dict[str, Any]:
    """A partial batch response: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    began = perf_counter()
    log.bind("workers", event.context)
    received = [
        Received(
            id=record["messageId"],
            receipt=record["receiptHandle"],
            body=record["body"],
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
            sent_at_ms=int(record["attributes"]["SentTimestamp"]),
        )
        for record in event.to_dict()["Records"]
    ]
    live = worker_ports()
    batch: dict[str, Any] = {"queue": queue, "records": len(received)}
    try:
        again = process_batch(live, queue, received, decode, lambda records: handle(live, records))
        batch["again"] = len(again)
    except Exception as error:
        live.metrics.count(ERRORS, dimension="internal")
        batch |= log.error_location(error)
        raise
    finally:
        batch["duration_ms"] = round((perf_counter() - began) * 1000, 1)
        logger.info("batch", extra=batch)
        live.metrics.flush("workers")
    return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in again]}
