"""Doors of the clock."""

import logging
from collections.abc import Callable

from chalice import Blueprint, Rate
from chalice.app import CloudWatchEvent

from chalicelib.bootstrap import worker_ports
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.metrics import ERRORS
from chalicelib.entrypoints import log
from chalicelib.usecases import maintenance
from chalicelib.usecases.log_subjects import error_fields
from chalicelib.usecases.ports import Ports

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_TASKS: dict[str, Callable[[Ports], int]] = {
    "dead_letters": maintenance.measure_dead_letters,
    "oldest_pending_ms": maintenance.measure_pending,
    "sent_again": maintenance.repair_pending,
    "purged": maintenance.purge_deleted,
    "leases_closed": maintenance.release_idle_leases,
}


@blueprint.schedule(Rate(1, unit=Rate.MINUTES), name="repair_pending")
def repair_pending(event: CloudWatchEvent) -> dict[str, int]:
    """Every task is tried, whatever becomes of the others. Raises the last one's error."""
    live = worker_ports()
    log.bind("schedules", event.context)
    done: dict[str, int] = {}
    failure: OrdinalError | None = None
    for name, task in _TASKS.items():
        try:
            done[name] = task(live)
        except OrdinalError as error:
            failure = error
            live.metrics.count(ERRORS, dimension=error.code)
            logger.error("a task failed", extra={"task": name, **error_fields(error)})
    logger.info("repair", extra=done)
    live.metrics.flush("schedules")
    if failure:
        raise failure
    return done
