"""Endpoints of the health checks: whether the API responds, and whether the services that it needs do."""

from collections.abc import Callable

from chalice import Blueprint

from chalicelib.domain.errors import OrdinalError
from chalicelib.entrypoints.http.endpoint import OpenReply, RequestContext, endpoint
from chalicelib.entrypoints.http.schemas import HealthResponse, ReadinessResponse

blueprint = Blueprint(__name__)


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
    """Check each service that the API needs."""
    ports = context.ports
    # A lambda each, so that an adapter that cannot be made counts as unavailable.
    pings: dict[str, Callable[[], None]] = {
        "redis": lambda: ports.sequencer.ping(),
        "mysql": lambda: ports.store.ping(),
        "sqs": lambda: ports.queues.ping(),
        "opensearch": lambda: ports.index.ping(),
    }
    parts = {name: "ok" if _responds(ping) else "unavailable" for name, ping in pings.items()}
    if set(parts.values()) == {"ok"}:
        return OpenReply(ReadinessResponse(status="ok", parts=parts))
    return OpenReply(ReadinessResponse(status="degraded", parts=parts), status=503)


def _responds(ping: Callable[[], None]) -> bool:
    try:
        ping()
    except OrdinalError:
        return False
    return True
