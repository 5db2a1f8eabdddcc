"""How far the workers are behind. Made for outages: a service that is down hides no other."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
import redis

from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.times import rfc3339
from chalicelib.operators.errors import OperatorError
from chalicelib.operators.pending import measure_backlog
from chalicelib.operators.queues import QueueWithDlq, depth
from chalicelib.usecases.rounds import ListTokens

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class QueueLag(msgspec.Struct, frozen=True):
    """How many records wait in a queue, and how many are in its dead-letter queue (`dead`)."""

    visible: int
    in_flight: int
    delayed: int
    dead: int


class PendingLag(msgspec.Struct, frozen=True):
    """How many versions are pending, of how many applications, and the age of the oldest."""

    entries: int
    applications: int
    oldest_seconds: float | None


class Lag(msgspec.Struct, frozen=True):
    """One measurement. What could not be read is None, and `failures` has the reason."""

    at: str
    queues: dict[str, QueueLag] | None
    pending: PendingLag | None
    failures: list[str]


def measure_lag(
    now_ms: int, queues: Callable[[], dict[str, QueueLag]], pending: Callable[[], PendingLag]
) -> Lag:
    """Call both readers. `queues` and `pending` may open their connections and may fail."""
    failures: list[str] = []
    return Lag(
        rfc3339(now_ms),
        _attempt("the queues", queues, failures),
        _attempt("the pending versions", pending, failures),
        failures,
    )


def queue_lags(sqs: "SQSClient", queues: Iterable[QueueWithDlq]) -> dict[str, QueueLag]:
    """By the short names of the queues. Raises `RequestFailedError`."""
    lags = {}
    for queue in queues:
        waiting, dead = depth(sqs, queue.url), depth(sqs, queue.dlq_url).total
        lags[queue.name] = QueueLag(waiting.visible, waiting.in_flight, waiting.delayed, dead)
    return lags


def pending_lag(client: redis.Redis, list_tokens: ListTokens, now_ms: int) -> PendingLag:
    """Over all applications. Raises `RequestFailedError`, `UnavailableError`."""
    backlog = measure_backlog(client, list_tokens)
    oldest = backlog.oldest_at_ms
    seconds = None if oldest is None else max(0.0, (now_ms - oldest) / 1000)
    return PendingLag(backlog.entries, backlog.applications, seconds)


def _attempt[T](what: str, read: Callable[[], T], failures: list[str]) -> T | None:
    try:
        return read()
    except (OrdinalError, OperatorError) as error:
        failures.append(f"{what}: {error}")
        return None
