"""Process the records of one invocation, so that a record fails alone, and for a reason that can be read."""

import logging
from collections.abc import Callable, Sequence

import msgspec

from chalicelib.domain.errors import OrdinalError, PoisonError
from chalicelib.domain.inbox import InboxRecord
from chalicelib.domain.metrics import ERRORS, RECORD_LAG, RECORDS_DEAD_LETTERED, RECORDS_RETRIED
from chalicelib.domain.queue_records import AnyRecord, split_in_half
from chalicelib.usecases.log_subjects import error_fields, log_records
from chalicelib.usecases.ports import Ports

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 2
_LONGEST_DELAY_SECONDS = 900


class Received(msgspec.Struct, frozen=True):
    """A record as SQS delivers it. `receives` counts the deliveries, this one included.

    `sent_at_ms` is when it was sent, in milliseconds since 1970 by the clock of SQS.
    """

    id: str
    receipt: str
    body: str
    receives: int
    sent_at_ms: int


class _Item[R: AnyRecord | InboxRecord](msgspec.Struct, frozen=True):
    """A record, or a part of one, and the delivery that it came in."""

    received: Received
    record: R
    body: str


def process_batch[R: AnyRecord | InboxRecord](
    ports: Ports,
    queue: str,
    received: Sequence[Received],
    decode: Callable[[str], R],
    handle: Callable[[Sequence[R]], None],
) -> list[str]:
    """The ids of the records that SQS must deliver again. All others are done.

    A record that can never succeed goes to the dead-letter queue with its reason. It is found by splitting
    the batch in halves, and then the record itself, so its neighbours succeed. A record that can succeed
    later is delivered again after a pause that doubles each time.
    """
    to_retry: dict[str, Received] = {}
    readable: list[_Item[R]] = []
    for item in received:
        try:
            readable.append(_Item(item, decode(item.body), item.body))
        except (msgspec.MsgspecError, ValueError) as error:
            logger.error("cannot be read", extra={"queue": queue, "message_id": item.id})
            reason = f"not a record that this version can read: {error}"
            _dead_letter(ports, queue, item, item.body, reason, to_retry)
    if readable:
        _handle(ports, queue, readable, handle, to_retry)
    ports.metrics.count(RECORDS_RETRIED, len(to_retry), dimension=queue)
    if to_retry:
        _delay(ports, queue, list(to_retry.values()))
    return list(to_retry)


def _handle[R: AnyRecord | InboxRecord](
    ports: Ports,
    queue: str,
    batch: Sequence[_Item[R]],
    handle: Callable[[Sequence[R]], None],
    to_retry: dict[str, Received],
) -> None:
    try:
        handle([item.record for item in batch])
    except PoisonError as error:
        parts = _split(batch)
        if len(parts) == 1:
            _log(logging.ERROR, "can never succeed", queue, batch, **error_fields(error))
            _dead_letter(ports, queue, batch[0].received, batch[0].body, str(error), to_retry)
            return
        for part in parts:
            _handle(ports, queue, part, handle, to_retry)
    except OrdinalError as error:
        ports.metrics.count(ERRORS, dimension=error.code)
        _log(logging.WARNING, "will be retried", queue, batch, **error_fields(error))
        to_retry.update((item.received.id, item.received) for item in batch)
    except Exception as error:
        _log(logging.ERROR, "failed", queue, batch, error=type(error).__name__)
        raise
    else:
        sent_at_ms = min(item.received.sent_at_ms for item in batch)
        lag_ms = max(0, ports.clock.now_ms() - sent_at_ms)
        ports.metrics.measure(RECORD_LAG, lag_ms, dimension=queue)
        log_records(logging.INFO, "processed", [item.record for item in batch], queue=queue)


def _log[R: AnyRecord | InboxRecord](
    level: int, text: str, queue: str, batch: Sequence[_Item[R]], **fields: str
) -> None:
    for item in batch:
        log_records(level, text, [item.record], queue=queue, message_id=item.received.id, **fields)


def _split[R: AnyRecord | InboxRecord](batch: Sequence[_Item[R]]) -> list[Sequence[_Item[R]]]:
    """The two halves of the batch, or of its only record; the batch alone if that cannot be split."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    [item] = batch
    parts = split_in_half(item.record)
    if len(parts) == 1:
        return [batch]
    return [[_Item(item.received, part, msgspec.json.encode(part).decode())] for part in parts]


def _dead_letter(
    ports: Ports,
    queue: str,
    item: Received,
    body: str,
    reason: str,
    to_retry: dict[str, Received],
) -> None:
    try:
        ports.queues.dead_letter(queue, body, reason)
        ports.metrics.count(RECORDS_DEAD_LETTERED, dimension=queue)
    except OrdinalError as error:
        fields = {"queue": queue, "message_id": item.id, **error_fields(error)}
        logger.warning("could not be dead-lettered yet", extra=fields)
        to_retry[item.id] = item


def _delay(ports: Ports, queue: str, items: Sequence[Received]) -> None:
    delays = {
        item.receipt: min(_FIRST_DELAY_SECONDS * 2**item.receives, _LONGEST_DELAY_SECONDS)
        for item in items
    }
    try:
        ports.queues.delay(queue, delays)
    except OrdinalError as error:
        # SQS delivers them again anyway, after the queue's visibility timeout.
        fields = {"queue": queue, "message_ids": [item.id for item in items], **error_fields(error)}
        logger.warning("the visibility timeout stays unchanged", extra=fields)
