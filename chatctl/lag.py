"""How far the workers are behind. Made for outages: a part that does not answer hides no other."""

from collections.abc import Callable
from typing import Any

import msgspec
import redis
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.clock import SystemClock
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.times import rfc3339
from chatctl.failures import ChatctlError
from chatctl.pending import backlog, connect
from chatctl.places import Places
from chatctl.queue_pairs import Depth, depth, queue_pairs


class QueueLag(msgspec.Struct, frozen=True):
    """What waits in a queue and in its dead-letter queue."""

    visible: int
    in_flight: int
    delayed: int
    dead: int


class PendingLag(msgspec.Struct, frozen=True):
    """What Redis keeps because it is not persisted yet."""

    entries: int
    applications: int
    oldest_seconds: float | None


class Lag(msgspec.Struct, frozen=True):
    """All of it; a part that could not be read is None, and `failures` says why."""

    at: str
    queues: dict[str, QueueLag] | None
    pending: PendingLag | None
    failures: list[str]


def measure(places: Places) -> Lag:
    """Ask SQS, MySQL and Redis."""
    failures: list[str] = []
    now_ms = SystemClock().now_ms()
    queues = _attempt("the queues", lambda: _queues(places), failures)
    pending = _attempt("what is pending", lambda: _pending(places, now_ms), failures)
    return Lag(rfc3339(now_ms), queues, pending, failures)


def _attempt[T](what: str, read: Callable[[], T], failures: list[str]) -> T | None:
    try:
        return read()
    except (BotoCoreError, ClientError, redis.RedisError, OrdinalError, ChatctlError) as error:
        failures.append(f"{what}: {error}")
        return None


def _queues(places: Places) -> dict[str, QueueLag]:
    client: Any = places.sqs()
    found = {}
    for pair in queue_pairs(places):
        alive: Depth = depth(client, pair.url)
        dead = depth(client, pair.dead_url).total
        found[pair.name] = QueueLag(alive.visible, alive.in_flight, alive.delayed, dead)
    return found


def _pending(places: Places, now_ms: int) -> PendingLag:
    from chalicelib.adapters.mysql.store import MySqlStore

    store = MySqlStore(places.require("mysql_url"))
    try:
        with connect(places.require("redis_url")) as client:
            found = backlog(client, store.applications.list_tokens)
    finally:
        store.close()
    oldest = found.oldest_at_ms
    seconds = None if oldest is None else max(0.0, (now_ms - oldest) / 1000)
    return PendingLag(found.entries, found.applications, seconds)
