"""Work off one batch of a queue so that a record fails alone, and for a reason that can be read."""

import logging
from collections.abc import Callable, Sequence

import msgspec

from chalicelib.domain.errors import OrdinalError, PoisonError
from chalicelib.domain.metrics import ERRORS, RECORD_LAG, RECORDS_AGAIN, RECORDS_BURIED
from chalicelib.domain.queue_records import AnyRecord, InboxRecord, halves
from chalicelib.usecases.log_subjects import log_records, told
from chalicelib.usecases.ports import World

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 2
_LONGEST_DELAY_SECONDS = 900


class Received(msgspec.Struct, frozen=True):
    """A record as SQS hands it over. `receives` counts how often it did, this time included.

    `sent_at_ms` is when it was sent, in milliseconds since 1970 by the clock of SQS.
    """

    id: str
    receipt: str
    body: str
    receives: int
    sent_at_ms: int


class _Item[R: AnyRecord | InboxRecord](msgspec.Struct, frozen=True):
    """A record, or a part of one, and what it came in."""

    received: Received
    record: R
    body: str


def work_off[R: AnyRecord | InboxRecord](
    world: World,
    queue: str,
    received: Sequence[Received],
    decode: Callable[[str], R],
    handle: Callable[[Sequence[R]], None],
) -> list[str]:
    """The ids of the records that must come again; all others are done with.

    What can never succeed goes to the dead-letter queue with its reason. It is found by halving the
    batch, and then the record itself, so its neighbours get through. What can succeed later comes
    again after a pause that doubles with every time.
    """
    again: dict[str, Received] = {}
    readable: list[_Item[R]] = []
    for item in received:
        try:
            readable.append(_Item(item, decode(item.body), item.body))
        except (msgspec.MsgspecError, ValueError) as error:
            logger.error("cannot be read", extra={"queue": queue, "message_id": item.id})
            reason = f"not a record that this version can read: {error}"
            _bury(world, queue, item, item.body, reason, again)
    if readable:
        _handle(world, queue, readable, handle, again)
    world.meter.count(RECORDS_AGAIN, len(again), of=queue)
    if again:
        _delay(world, queue, list(again.values()))
    return list(again)


def _handle[R: AnyRecord | InboxRecord](
    world: World,
    queue: str,
    batch: Sequence[_Item[R]],
    handle: Callable[[Sequence[R]], None],
    again: dict[str, Received],
) -> None:
    try:
        handle([item.record for item in batch])
    except PoisonError as error:
        parts = _halves(batch)
        if len(parts) == 1:
            _log(logging.ERROR, "can never succeed", queue, batch, **told(error))
            _bury(world, queue, batch[0].received, batch[0].body, str(error), again)
            return
        for part in parts:
            _handle(world, queue, part, handle, again)
    except OrdinalError as error:
        world.meter.count(ERRORS, of=error.code)
        _log(logging.WARNING, "comes again", queue, batch, **told(error))
        again.update((item.received.id, item.received) for item in batch)
    except Exception as error:
        _log(logging.ERROR, "failed", queue, batch, error=type(error).__name__)
        raise
    else:
        sent_at_ms = min(item.received.sent_at_ms for item in batch)
        lag_ms = max(0, world.clock.now_ms() - sent_at_ms)
        world.meter.measure(RECORD_LAG, lag_ms, of=queue)
        log_records(logging.INFO, "worked off", [item.record for item in batch], queue=queue)


def _log[R: AnyRecord | InboxRecord](
    level: int, text: str, queue: str, batch: Sequence[_Item[R]], **fields: str
) -> None:
    for item in batch:
        log_records(level, text, [item.record], queue=queue, message_id=item.received.id, **fields)


def _halves[R: AnyRecord | InboxRecord](batch: Sequence[_Item[R]]) -> list[Sequence[_Item[R]]]:
    """Two halves of the batch, or of its only record; the batch alone where nothing can be halved."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    [item] = batch
    parts = halves(item.record)
    if len(parts) == 1:
        return [batch]
    return [[_Item(item.received, part, msgspec.json.encode(part).decode())] for part in parts]


def _bury(
    world: World,
    queue: str,
    item: Received,
    body: str,
    reason: str,
    again: dict[str, Received],
) -> None:
    try:
        world.queues.bury(queue, body, reason)
        world.meter.count(RECORDS_BURIED, of=queue)
    except OrdinalError as error:
        fields = {"queue": queue, "message_id": item.id, **told(error)}
        logger.warning("could not be buried yet", extra=fields)
        again[item.id] = item


def _delay(world: World, queue: str, items: Sequence[Received]) -> None:
    delays = {
        item.receipt: min(_FIRST_DELAY_SECONDS * 2**item.receives, _LONGEST_DELAY_SECONDS)
        for item in items
    }
    try:
        world.queues.delay(queue, delays)
    except OrdinalError as error:
        # They come again all the same, after the queue's visibility time-out.
        fields = {"queue": queue, "message_ids": [item.id for item in items], **told(error)}
        logger.warning("the queue's time-out stays", extra=fields)
