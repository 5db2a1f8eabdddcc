"""Work off one batch of a queue so that a record fails alone, and for a reason that can be read."""

import logging
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from chalicelib.domain.errors import OrdinalError, PoisonError
from chalicelib.domain.records import AnyRecord, halves
from chalicelib.usecases.ports import Queues

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 2
_LONGEST_DELAY_SECONDS = 900


class Received(msgspec.Struct, frozen=True):
    """A record as SQS hands it over. `receives` counts how often it did, this time included."""

    id: str
    receipt: str
    body: str
    receives: int


class _Item[R: AnyRecord](msgspec.Struct, frozen=True):
    """A record, or a part of one, and what it came in."""

    received: Received
    record: R
    body: str


def work_off[R: AnyRecord](
    queues: Queues,
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
            _bury(
                queues,
                queue,
                item,
                item.body,
                f"not a record that this version can read: {error}",
                again,
            )
    if readable:
        _handle(queues, queue, readable, handle, again)
    if again:
        _delay(queues, queue, list(again.values()))
    return list(again)


def _handle[R: AnyRecord](
    queues: Queues,
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
            _bury(queues, queue, batch[0].received, batch[0].body, str(error), again)
            return
        for part in parts:
            _handle(queues, queue, part, handle, again)
    except OrdinalError as error:
        logger.warning("%d records of %s come again: %s", len(batch), queue, error)
        again.update((item.received.id, item.received) for item in batch)


def _halves[R: AnyRecord](batch: Sequence[_Item[R]]) -> list[Sequence[_Item[R]]]:
    """Two halves of the batch, or of its only record; the batch alone where nothing can be halved."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    [item] = batch
    parts = cast(list[R], halves(item.record))
    if len(parts) == 1:
        return [batch]
    return [[_Item(item.received, part, msgspec.json.encode(part).decode())] for part in parts]


def _bury(
    queues: Queues,
    queue: str,
    item: Received,
    body: str,
    reason: str,
    again: dict[str, Received],
) -> None:
    logger.error("record %s of %s goes to the dead-letter queue: %s", item.id, queue, reason)
    try:
        queues.bury(queue, body, reason)
    except OrdinalError as error:
        logger.warning("record %s of %s could not be put there yet: %s", item.id, queue, error)
        again[item.id] = item


def _delay(queues: Queues, queue: str, items: Sequence[Received]) -> None:
    delays = {
        item.receipt: min(_FIRST_DELAY_SECONDS * 2**item.receives, _LONGEST_DELAY_SECONDS)
        for item in items
    }
    try:
        queues.delay(queue, delays)
    except OrdinalError as error:
        # They come again all the same, after the queue's visibility time-out.
        logger.warning("%d records of %s keep the queue's time-out: %s", len(items), queue, error)
