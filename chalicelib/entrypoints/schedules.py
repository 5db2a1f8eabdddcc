"""Doors of the clock."""

from aws_lambda_powertools import Logger
from chalice import Blueprint, Rate
from chalice.app import CloudWatchEvent

from chalicelib.bootstrap import worker_world
from chalicelib.usecases.close_leases import close_leases
from chalicelib.usecases.purge_deleted import purge_deleted
from chalicelib.usecases.repair_pending import repair_pending as repair

schedules = Blueprint(__name__)
logger = Logger(service="schedules")


@schedules.schedule(Rate(1, unit=Rate.MINUTES), name="repair_pending")
def repair_pending(event: CloudWatchEvent) -> dict[str, int]:
    live = worker_world()
    done = {
        "sent_again": repair(live),
        "purged": purge_deleted(live),
        "leases_closed": close_leases(live),
    }
    logger.info("repair", extra=done)
    return done
