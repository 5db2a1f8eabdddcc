"""Functions for the deployment. They are invoked by name, inside the network."""

import logging
from typing import Any

from chalice import Blueprint

from chalicelib import bootstrap
from chalicelib.entrypoints import log

blueprint = Blueprint(__name__)
logger = logging.getLogger(__name__)


@blueprint.lambda_function(name="migrate")
def migrate(event: dict[str, Any], context: Any) -> list[str]:
    """Bring MySQL and OpenSearch up to date; returns what was done."""
    log.bind("operations", context)
    done = bootstrap.migrate()
    logger.info("migrate", extra={"done": done})
    return done
