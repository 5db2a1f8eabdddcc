"""The one line in the log for each request."""

import logging
import re
from time import perf_counter
from typing import Any

from chalicelib.domain.idempotency import WriteResult
from chalicelib.entrypoints.http.request import Request

logger = logging.getLogger(__name__)

# A client can put anything into a path, for example a key. So a value is logged only if it has the form of
# its parameter. User names are personal data and are not logged.
_LOGGED_PARAMS = {
    "token": re.compile(r"[0-9a-f]{30}"),
    "chat": re.compile(r"[0-9]{1,16}"),
    "number": re.compile(r"[0-9]{1,16}"),
}


class RequestLog:
    """Collects the fields of a request's line, and measures its time. No field holds content or a key."""

    def __init__(self, request: Request) -> None:
        self._request = request
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
            for name, value in self._request.params.items()
            if name in _LOGGED_PARAMS and _LOGGED_PARAMS[name].fullmatch(value)
        }
        fields = {
            "method": self._request.method,
            "route": self._request.route,
            "status": status,
            "duration_ms": round((perf_counter() - self._started_at) * 1000, 1),
            "request_id": self._request.request_id,
            **params,
            **self._fields,
        }
        logger.log(level, "request", extra=fields)
