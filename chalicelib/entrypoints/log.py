"""The log: JSON lines on stdout, from the entrypoints, the use cases and the adapters.

A line names a record or a request by token, chat, numbers and revisions. It never has content: no bodies,
titles, search words or keys.
"""

import traceback
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger

_MAX_FRAMES = 12

# The logger has the name of the package, so it gets the lines of every `logging.getLogger(__name__)` below.
logger = Logger(service="chalicelib", utc=True, use_rfc3339=True)


def bind(service: str, invocation: Any) -> None:
    """Add the service and the Lambda invocation to all lines of this invocation."""
    logger.append_keys(service=service, invocation_id=getattr(invocation, "aws_request_id", None))


def error_location(error: BaseException) -> dict[str, Any]:
    """Type and place of an unexpected error. Its text is left out, because it may hold content."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    return {
        "error": type(error).__name__,
        "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
