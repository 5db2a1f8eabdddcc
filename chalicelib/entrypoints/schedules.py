"""The function that the schedule invokes every minute."""

import logging
from collections.abc import Callable

from chalice import Blueprint, Rate
from chalice.app import CloudWatchEvent

from chalicelib.bootstrap import worker_ports
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.metrics import ERRORS
from chalicelib.entrypoints import log
from chalicelib.usecases import maintenance
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import error_fields

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_TASKS: dict[str, Callable[[Ports], int]] = {
    "dead_letters": maintenance.measure_dead_letters,
    "oldest_pending_ms": maintenance.measure_pending,
    "resent": maintenance.repair_pending,
    "purged": maintenance.purge_deleted,
    "leases_released": maintenance.release_idle_leases,
}


@blueprint.schedule(Rate(1, unit=Rate.MINUTES), name="repair_pending")
def repair_pending(event: CloudWatchEvent) -> dict[str, int]:
    """Run every task, even if others fail. Raises the error of the last one that failed."""
    ports = worker_ports()
    log.bind("schedules", event.context)
    done: dict[str, int] = {}
    last_error: OrdinalError | None = None
    for name, task in _TASKS.items():
        try:
            done[name] = task(ports)
        except OrdinalError as error:
            last_error = error
            ports.metrics.count(ERRORS, dimension=error.code)
            logger.error("a task failed", extra={"task": name, **error_fields(error)})
    logger.info("repair", extra=done)
    ports.metrics.flush("schedules")
    if last_error:
        raise last_error
    return done
