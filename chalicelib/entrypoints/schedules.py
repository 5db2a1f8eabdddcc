"""The functions that the schedule invokes every minute. Each is one task over all applications."""

import logging
from collections.abc import Callable
from typing import Any

from chalice import Blueprint, Rate
from chalice.app import CloudWatchEvent

from chalicelib.bootstrap import worker_ports
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.metrics import ERRORS
from chalicelib.domain.times import Deadline
from chalicelib.entrypoints import log
from chalicelib.usecases import maintenance, repair
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import error_fields, error_location
from chalicelib.usecases.rounds import TaskResult

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)

_EVERY_MINUTE = Rate(1, unit=Rate.MINUTES)
# If a part is away, each application may have an error. The last ones are as good as all.
_MAX_LOGGED_ERRORS = 10


@blueprint.schedule(_EVERY_MINUTE, name="measure_backlog")
def measure_backlog(event: CloudWatchEvent) -> dict[str, int]:
    return _run(event, "measure_backlog", maintenance.measure_backlog)


@blueprint.schedule(_EVERY_MINUTE, name="repair_pending")
def repair_pending(event: CloudWatchEvent) -> dict[str, int]:
    return _run(event, "repair_pending", repair.repair_pending)


@blueprint.schedule(_EVERY_MINUTE, name="purge_deleted")
def purge_deleted(event: CloudWatchEvent) -> dict[str, int]:
    return _run(event, "purge_deleted", maintenance.purge_deleted)


@blueprint.schedule(_EVERY_MINUTE, name="release_idle_leases")
def release_idle_leases(event: CloudWatchEvent) -> dict[str, int]:
    return _run(event, "release_idle_leases", maintenance.release_idle_leases)


def _run(
    event: CloudWatchEvent, name: str, task: Callable[[Ports, Deadline], TaskResult]
) -> dict[str, int]:
    """Run the task. If a part of it failed, raise the last error after everything else is done."""
    ports, context = worker_ports(), event.context
    log.bind("schedules", context)
    try:
        result = task(ports, Deadline(context.get_remaining_time_in_millis))  # type: ignore[union-attr]
    except Exception as error:
        result = TaskResult(errors=[error])
    for failure in result.errors[-_MAX_LOGGED_ERRORS:]:
        logger.error("a part of a task failed", extra={"task": name, **_fields(failure)})
    for failure in result.errors:
        code = failure.code if isinstance(failure, OrdinalError) else "internal"
        ports.metrics.count(ERRORS, dimension=code)
    logger.info("task", extra={"task": name, "count": result.count, "errors": len(result.errors)})
    ports.metrics.flush("schedules")
    if result.errors:
        raise result.errors[-1]
    return {"count": result.count}


def _fields(failure: Exception) -> dict[str, Any]:
    if isinstance(failure, OrdinalError):
        return error_fields(failure)
    return error_location(failure)
