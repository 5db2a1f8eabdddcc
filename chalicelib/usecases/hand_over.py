"""Hand what was accepted to the queues, and say whose it is where they do not take it."""

import logging
from collections.abc import Sequence

from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.records import AnyRecord
from chalicelib.usecases.ports import World
from chalicelib.usecases.record_log import log_records, told


def hand_over(world: World, records: Sequence[AnyRecord]) -> None:
    """Send the records. Raises as `Queues.send`; they stay pending then, and the repair sends them."""
    try:
        world.queues.send(records)
    except OrdinalError as error:
        log_records(logging.WARNING, "accepted, but not sent", records, **told(error))
        raise
