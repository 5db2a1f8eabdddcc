"""The functions that process the queues. Each returns which records SQS must deliver again."""

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
from chalicelib.domain.times import Deadline, rfc3339
from chalicelib.entrypoints import log
from chalicelib.settings import Settings
from chalicelib.usecases import inbox, persist, search
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import (
    Failures,
    Received,
    error_location,
    process_batch,
)

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_STAGE = Settings.from_env().stage
# One transaction stores a batch, so large batches share the cost of a commit, and a window of a second lets
# them fill. `maximum_concurrency` stops Lambda from receiving records that it then throttles: that would
# count as a failed attempt (docs/deployment.md).
_BATCH: dict[str, Any] = {"batch_size": 500, "maximum_batching_window_in_seconds": 1}


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-inbox", name="accept_inbox", maximum_concurrency=20, **_BATCH
)
def accept_inbox(event: SQSEvent) -> dict[str, Any]:
    now = rfc3339(worker_ports().clock.now_ms())
    return _process("inbox", event, lambda body: decode_inbox(body, now), inbox.accept_inbox)


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-chats", name="persist_chats", maximum_concurrency=10, **_BATCH
)
def persist_chats(event: SQSEvent) -> dict[str, Any]:
    return _process(
        "chats", event, _decoder(ChatsRecord), lambda p, r, _: persist.persist_chats(p, r)
    )


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-messages", name="persist_messages", maximum_concurrency=40, **_BATCH
)
def persist_messages(event: SQSEvent) -> dict[str, Any]:
    return _process(
        "messages", event, _decoder(MessagesRecord), lambda p, r, _: persist.persist_messages(p, r)
    )


@blueprint.on_sqs_message(
    queue=f"ordinal-{_STAGE}-search", name="index_messages", maximum_concurrency=20, **_BATCH
)
def index_messages(event: SQSEvent) -> dict[str, Any]:
    return _process("search", event, _decoder(SearchRecord), search.index_messages)


def _decoder(kind: Any) -> Callable[[str], Any]:
    return msgspec.json.Decoder(kind).decode


def _process(
    queue: str,
    event: SQSEvent,
    decode: Callable[[str], Any],
    handle: Callable[[Ports, Sequence[Any], Deadline], Failures | None],
) -> dict[str, Any]:
    """A partial batch response: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    started_at = perf_counter()
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
    context: Any = event.context
    ports, deadline = worker_ports(), Deadline(context.get_remaining_time_in_millis)
    batch: dict[str, Any] = {"queue": queue, "records": len(received)}
    try:
        to_retry = process_batch(
            ports, queue, received, decode, lambda r: handle(ports, r, deadline), deadline
        )
        batch["to_retry"] = len(to_retry)
    except Exception as error:
        ports.metrics.count(ERRORS, dimension="internal")
        batch |= error_location(error)
        raise
    finally:
        batch["duration_ms"] = round((perf_counter() - started_at) * 1000, 1)
        logger.info("batch", extra=batch)
        ports.metrics.flush("workers")
    return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in to_retry]}
