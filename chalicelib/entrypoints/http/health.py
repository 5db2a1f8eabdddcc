"""Endpoints of the health checks: whether the API responds, and whether the services that it needs do.

Anybody may call them, as often as API Gateway allows (`infra/deploy/throttles.py`). So a process pings each
service at most once in two seconds, whatever the number of requests, and a request does not wait for one
service that hangs after another.
"""

from collections.abc import Callable
from functools import lru_cache
from threading import Lock

from chalice import Blueprint

from chalicelib.bootstrap import Adapters
from chalicelib.domain.errors import OrdinalError
from chalicelib.entrypoints.http.endpoint import OpenReply, RequestContext, endpoint
from chalicelib.entrypoints.http.schemas import HealthResponse, PartState, ReadinessResponse

blueprint = Blueprint(__name__)

# How old the state of a service may be.
MAX_AGE_MS = 2_000
# A request that has waited so long begins no other check. It is longer than one service takes that hangs (SQS
# comes last, because it takes longer), so a single one does not hide the others.
MAX_WAIT_MS = 5_000


class ReadinessCheck:
    """What a process knows of the services that it needs."""

    def __init__(self, ports: Adapters) -> None:
        # A lambda each, so that an adapter that cannot be made counts as unavailable.
        self._pings: dict[str, Callable[[], None]] = {
            "redis": lambda: ports.sequencer.ping(),
            "mysql": lambda: ports.store.ping(),
            "opensearch": lambda: ports.index.ping(),
            "sqs": lambda: ports.queues.ping(),
        }
        self._clock = ports.clock
        self._checked_at_ms = dict.fromkeys(self._pings, -MAX_AGE_MS)
        self._states: dict[str, PartState] = dict.fromkeys(self._pings, "unknown")
        self._checking = Lock()

    def states(self) -> dict[str, PartState]:
        """The state of each service. If another request checks them now, this one does not wait for it."""
        if self._checking.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._checking.release()
        return dict(self._states)

    def _refresh(self) -> None:
        started_ms = self._clock.now_ms()
        for name, ping in self._pings.items():
            now_ms = self._clock.now_ms()
            if now_ms - self._checked_at_ms[name] < MAX_AGE_MS:
                continue
            if now_ms - started_ms >= MAX_WAIT_MS:
                self._states[name] = "unknown"
                continue
            self._states[name] = "ok" if _responds(ping) else "unavailable"
            self._checked_at_ms[name] = self._clock.now_ms()


@endpoint(blueprint, "GET", "/health", "open", {200: HealthResponse})
def get_health(context: RequestContext) -> OpenReply:
    """Check that the API responds."""
    return OpenReply(HealthResponse(status="ok"))


@endpoint(
    blueprint,
    "GET",
    "/health/ready",
    "open",
    {200: ReadinessResponse, 503: ReadinessResponse},
)
def get_readiness(context: RequestContext) -> OpenReply:
    """Check each service that the API needs. The response may be two seconds old."""
    parts = _check_of(context.ports).states()
    if set(parts.values()) == {"ok"}:
        return OpenReply(ReadinessResponse(status="ok", parts=parts))
    return OpenReply(ReadinessResponse(status="degraded", parts=parts), status=503)


@lru_cache(maxsize=1)
def _check_of(ports: Adapters) -> ReadinessCheck:
    return ReadinessCheck(ports)


def _responds(ping: Callable[[], None]) -> bool:
    try:
        ping()
    except OrdinalError:
        return False
    return True
