"""Wires the adapters to the use cases.

Each adapter is imported at its first use, so that a function loads only what it needs.
"""

from functools import cache, cached_property

from chalicelib.settings import Settings
from chalicelib.usecases.ports import Clock, Metrics, Queues, SearchIndex, Sequencer, Store


def resolve_secret(value: str) -> str:
    """The secret that a setting names. A value that is not the ARN of a secret is returned unchanged."""
    if not value.startswith("arn:"):
        return value
    from chalicelib.adapters.aws import secret

    return secret(value)


def settings() -> Settings:
    """The settings of this process. Secrets are resolved when they are needed."""
    return Settings.from_env(resolve_secret=resolve_secret)


class Adapters:
    """All adapters of a process. Their connections stay open as long as the process runs.

    With `for_requests` the timeouts are short, because clients wait for responses.
    """

    def __init__(self, settings: Settings, for_requests: bool) -> None:
        self.settings = settings
        self._for_requests = for_requests
        self.lease_window = settings.lease_window

    @cached_property
    def master_key(self) -> str:
        """The key from which the secret keys of all applications are derived."""
        return self.settings.require("master_key")

    @cached_property
    def admin_key(self) -> str:
        """The credential of the admin."""
        return self.settings.require("admin_key")

    @cached_property
    def clock(self) -> Clock:
        from chalicelib.adapters.runtime import SystemClock

        return SystemClock()

    @cached_property
    def sequencer(self) -> Sequencer:
        from chalicelib.adapters.redis.sequencer import FIXED_HOLDER, RedisSequencer

        holder = FIXED_HOLDER if self.settings.redis_keeps_writes else ""
        return RedisSequencer(self.settings.url("redis"), self.clock, self.lease_window, holder)

    @cached_property
    def store(self) -> Store:
        from chalicelib.adapters.mysql.database import (
            READ_TIMEOUT_SECONDS,
            REQUEST_READ_TIMEOUT_SECONDS,
        )
        from chalicelib.adapters.mysql.store import MySqlStore

        seconds = REQUEST_READ_TIMEOUT_SECONDS if self._for_requests else READ_TIMEOUT_SECONDS
        return MySqlStore(self.settings.url("mysql"), seconds)

    @cached_property
    def queues(self) -> Queues:
        from chalicelib.adapters.aws import SqsQueues

        return SqsQueues(self.settings.queue_urls, self.settings.dead_letter_queue_urls)

    @cached_property
    def index(self) -> SearchIndex:
        from chalicelib.adapters.opensearch.index import OpenSearchIndex

        return OpenSearchIndex(self.settings.require("opensearch_url"))

    @cached_property
    def metrics(self) -> Metrics:
        from chalicelib.adapters.runtime import EmfMetrics

        return EmfMetrics(self.settings.stage)


@cache
def request_ports() -> Adapters:
    """The ports of this process when it serves requests."""
    return Adapters(settings(), for_requests=True)


@cache
def worker_ports() -> Adapters:
    """The ports of this process when it processes a queue or runs on a schedule."""
    return Adapters(settings(), for_requests=False)


def migrate() -> list[str]:
    """Bring MySQL and OpenSearch up to date; returns what was done. It may run any number of times.

    If the settings have the owner of the database, this also creates the database user of the functions.
    """
    from chalicelib.adapters.mysql import migrate
    from chalicelib.adapters.opensearch import mapping

    known, url = settings(), settings().url("mysql")
    if known.mysql_owner:
        owner = migrate.owner_url(url, known.require("mysql_owner"))
        migrate.put_user(owner, url)
        url = owner
    return [*migrate.migrate(url), mapping.migrate(known.require("opensearch_url"))]
