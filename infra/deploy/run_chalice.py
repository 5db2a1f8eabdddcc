"""The real `chalice`; on LocalStack, with waits of its length instead of AWS's.

After each change botocore's waiters look again every five seconds. LocalStack is done in a tenth
of one, and a deployment changes every function twice.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from botocore.waiter import WaiterModel
from chalice.cli import main

POLL_SECONDS = 0.2


def poll_often() -> None:
    """Let every waiter ask more often, for as long in all as before."""
    waiters: Any = WaiterModel
    original = waiters.get_waiter

    def get_waiter(model: Any, name: str) -> Any:
        config = original(model, name)
        config.max_attempts = int(config.max_attempts * config.delay / POLL_SECONDS)
        config.delay = POLL_SECONDS
        return config

    waiters.get_waiter = get_waiter


if __name__ == "__main__":
    if "AWS_ENDPOINT_URL" in os.environ:
        poll_often()
    sys.exit(main())
