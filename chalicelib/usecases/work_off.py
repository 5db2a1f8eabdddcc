"""Work off one batch of a queue so that a record fails alone, and for a reason that can be read."""

import logging
from collections.abc import Callable, Sequence

import msgspec

from chalicelib.domain.errors import OrdinalError, PoisonError
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


def work_off[R](
    queues: Queues,
    queue: str,
    received: Sequence[Received],
    decode: Callable[[str], R],
    handle: Callable[[Sequence[R]], None],
) -> list[str]:
    """The ids of the records that must come again; all others are done with.

    A record that can never succeed goes to the dead-letter queue with its reason. It is found by
    halving the batch, so its neighbours get through. What can succeed later comes again after a pause
    that doubles with every time.
    """
    again: dict[str, Received] = {}
    readable: list[tuple[Received, R]] = []
    for item in received:
        try:
            readable.append((item, decode(item.body)))
        except (msgspec.MsgspecError, ValueError) as error:
            _bury(queues, queue, item, f"not a record that this version can read: {error}", again)
    if readable:
        _handle(queues, queue, readable, handle, again)
    if again:
        _delay(queues, queue, list(again.values()))
    return list(again)


def _handle[R](
    queues: Queues,
    queue: str,
    batch: Sequence[tuple[Received, R]],
    handle: Callable[[Sequence[R]], None],
    again: dict[str, Received],
) -> None:
    try:
        handle([record for _, record in batch])
    except PoisonError as error:
        if len(batch) == 1:
            _bury(queues, queue, batch[0][0], str(error), again)
            return
        middle = len(batch) // 2
        _handle(queues, queue, batch[:middle], handle, again)
        _handle(queues, queue, batch[middle:], handle, again)
    except OrdinalError as error:
        logger.warning("%d records of %s come again: %s", len(batch), queue, error)
        again.update((item.id, item) for item, _ in batch)


def _bury(
    queues: Queues, queue: str, item: Received, reason: str, again: dict[str, Received]
) -> None:
    logger.error("record %s of %s goes to the dead-letter queue: %s", item.id, queue, reason)
    try:
        queues.bury(queue, item.body, reason)
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
