"""Doors of the health checks: whether the API answers, and whether what it needs does."""

from collections.abc import Callable

from chalice import Blueprint, Response

from chalicelib.domain.errors import OrdinalError
from chalicelib.entrypoints.http.endpoint import answer, door
from chalicelib.entrypoints.http.request import Call
from chalicelib.entrypoints.http.schemas import HealthView, ReadinessView

blueprint = Blueprint(__name__)


@door(blueprint, "GET", "/health", "open", {200: HealthView})
def get_health(call: Call) -> Response:
    """Say whether the API answers."""
    return answer(200, HealthView("ok"))


@door(blueprint, "GET", "/health/ready", "open", {200: ReadinessView, 503: ReadinessView})
def get_readiness(call: Call) -> Response:
    """Say whether each part that the API needs answers."""
    ports = call.ports
    parts: dict[str, Callable[[], None]] = {
        "redis": lambda: ports.sequencer.ping(),
        "mysql": lambda: ports.store.ping(),
        "sqs": lambda: ports.queues.ping(),
        "opensearch": lambda: ports.index.ping(),
    }
    states = {name: _state(ping) for name, ping in parts.items()}
    fine = all(state == "ok" for state in states.values())
    return answer(200 if fine else 503, ReadinessView("ok" if fine else "degraded", states))


def _state(ping: Callable[[], None]) -> str:
    try:
        ping()
    except OrdinalError:
        return "unavailable"
    return "ok"
