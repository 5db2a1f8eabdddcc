"""The one line that the log has for every request."""

import logging
import re
from collections.abc import Mapping
from time import perf_counter

from chalicelib.entrypoints.http.request import Call

logger = logging.getLogger(__name__)

# What stands in a path is the client's, and may be anything: a key that was put in the wrong place, say.
# Names of users are people's, and are left out.
_SHAPES = {
    "token": re.compile(r"[0-9a-f]{30}"),
    "chat": re.compile(r"[0-9]{1,16}"),
    "number": re.compile(r"[0-9]{1,16}"),
}


def log_request(call: Call, params: Mapping[str, str], status: int) -> None:
    """Method, route, status, time taken, and what the request was about. At `error` where it failed."""
    level = logging.ERROR if status == 500 else logging.WARNING if status > 500 else logging.INFO
    shown = {
        name: v for name, v in params.items() if name in _SHAPES and _SHAPES[name].fullmatch(v)
    }
    about = {name: v if name == "token" else int(v) for name, v in shown.items()}
    fields = {
        "method": call.method,
        "route": call.route,
        "status": status,
        "duration_ms": round((perf_counter() - call.began) * 1000, 1),
        "request_id": call.request_id,
        **about,
        **call.noted,
    }
    logger.log(level, "request", extra=fields)
