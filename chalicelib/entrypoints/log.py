"""The log: JSON lines on stdout, those of the use cases and adapters among them.

A line says whose record or request it is about by token, chat, numbers and revisions, and never what
stands in it: no bodies, titles, search words, keys.
"""

import traceback
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger

_FRAMES = 12

# It has the name of the package, so that every `logging.getLogger(__name__)` below it ends here.
logger = Logger(service="chalicelib", utc=True, use_rfc3339=True)


def begin(service: str, invocation: Any) -> None:
    """Name the service and the Lambda invocation in all lines from here on."""
    logger.append_keys(service=service, invocation_id=getattr(invocation, "aws_request_id", None))


def fault(error: BaseException) -> dict[str, Any]:
    """Type and place of an error that nobody expected. Its text may hold content, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {
        "error": type(error).__name__,
        "at": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames],
    }
