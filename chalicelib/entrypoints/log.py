"""The log: JSON lines on stdout, from the entrypoints, the use cases and the adapters.

A line names a record or a request by token, chat, numbers and revisions. It never has content: no bodies,
titles, search words or keys.
"""

import logging
import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from aws_lambda_powertools import Logger

from chalicelib.domain.idempotency import WriteResult

# The logger has the name of the package, so it gets the lines of every `logging.getLogger(__name__)` below.
logger = Logger(service="chalicelib", utc=True, use_rfc3339=True)


def bind(service: str, invocation: Any) -> None:
    """Add the service and the Lambda invocation to all lines of this invocation."""
    logger.append_keys(service=service, invocation_id=getattr(invocation, "aws_request_id", None))


_requests = logging.getLogger(__name__)

# A client can put anything into a path, for example a key. So a value is logged only if it has the form of
# its parameter. User names are personal data and are not logged.
_LOGGED_PARAMS = {
    "token": re.compile(r"[0-9a-f]{30}"),
    "chat": re.compile(r"[0-9]{1,16}"),
    "number": re.compile(r"[0-9]{1,16}"),
}


class RequestLog:
    """Collects the fields of a request's line, and measures its time. No field holds content or a key."""

    def __init__(
        self, method: str, route: str, params: Mapping[str, str], request_id: str | None
    ) -> None:
        self._request = {"method": method, "route": route}
        self._params = params
        self._request_id = request_id
        self._started_at = perf_counter()
        self._fields: dict[str, Any] = {}

    def add(self, **fields: Any) -> None:
        self._fields |= fields

    def add_result(self, result: WriteResult[Any]) -> None:
        """Which numbers were given, and whether the response is a replay."""
        if result.numbers:
            numbers = result.numbers
            self.add(first=numbers.first, last=numbers.last, revision=result.revision)
        self.add(replayed=result.replayed)

    def write(self, status: int) -> None:
        """Write the line: at level `ERROR` for status 500, at `WARNING` above."""
        level = (
            logging.ERROR if status == 500 else logging.WARNING if status > 500 else logging.INFO
        )
        params = {
            name: value if name == "token" else int(value)
            for name, value in self._params.items()
            if name in _LOGGED_PARAMS and _LOGGED_PARAMS[name].fullmatch(value)
        }
        fields = {
            **self._request,
            "status": status,
            "duration_ms": round((perf_counter() - self._started_at) * 1000, 1),
            "request_id": self._request_id,
            **params,
            **self._fields,
        }
        _requests.log(level, "request", extra=fields)
