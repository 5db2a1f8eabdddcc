"""The faults. Each function causes one fault while the load runs, and returns when the fault is over."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import msgspec

from tests.faults.harness import Harness
from tests.faults.in_process_client import InProcessClient
from tests.faults.load import Load
from tests.faults.proxy import Mode
from tests.faults.servers import running

Fault = Callable[[Harness, Load], None]

HOUR_SECONDS = 3600


class Scenario(msgspec.Struct):
    """A fault and its name. The table shows the sentence."""

    name: str
    sentence: str
    cause: Fault


def wait(seconds: float) -> None:
    """Let the fault last for this time."""
    time.sleep(seconds)


@contextlib.contextmanager
def _redis_loss(load: Load, cause: str) -> Iterator[None]:
    """Record that Redis loses data while the context is open."""
    loss = load.history.record_loss(cause, lasting=True)
    yield
    load.history.end_loss(loss)


def persist_killed(harness: Harness, load: Load) -> None:
    _kill_repeatedly(harness, "persist_messages")


def index_killed(harness: Harness, load: Load) -> None:
    _kill_repeatedly(harness, "index_messages")


def inbox_killed(harness: Harness, load: Load) -> None:
    _kill_repeatedly(harness, "accept_inbox")


def api_killed(harness: Harness, load: Load) -> None:
    _kill_repeatedly(harness, "app.app")


def _kill_repeatedly(harness: Harness, function: str) -> None:
    killed = 0
    for _ in range(8):
        wait(1.5)
        killed += harness.kill_function(function)
    assert killed > 1, f"{function} did not run"


def database_down(harness: Harness, load: Load) -> None:
    harness.database.kill()
    wait(30)
    harness.database.start()


def database_read_only(harness: Harness, load: Load) -> None:
    harness.database.sql("SET GLOBAL read_only = 1")
    wait(15)
    harness.database.sql("SET GLOBAL read_only = 0")


def search_down(harness: Harness, load: Load) -> None:
    with harness.broken("opensearch", Mode.REFUSE):
        wait(30)
    process = running(harness.stack, "opensearch")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        wait(30)
    finally:
        os.kill(process.pid, signal.SIGCONT)


def redis_flushed(harness: Harness, load: Load) -> None:
    for _ in range(3):
        with _redis_loss(load, "FLUSHALL"), contextlib.closing(harness.valkeys.client()) as client:
            client.flushall()
        wait(4)


def redis_restarted_empty(harness: Harness, load: Load) -> None:
    with _redis_loss(load, "restarted empty"):
        harness.valkeys.kill()
        wait(5)
        harness.valkeys.start()
    wait(4)


def redis_restored(harness: Harness, load: Load) -> None:
    snapshot = harness.valkeys.save()
    wait(6)
    with _redis_loss(load, "an older snapshot"):
        harness.valkeys.kill()
        harness.valkeys.start(snapshot)
    wait(4)


def replica_attached(harness: Harness, load: Load) -> None:
    """Redis loses nothing, but it becomes another incarnation (docs/reliability.md), so numbers are skipped.

    A primary takes a new replication id when its first replica attaches. It does so again for the first
    replica after an hour without replicas. Here the hour is a second.
    """
    with contextlib.closing(harness.valkeys.client()) as client:
        client.config_set("repl-backlog-ttl", 1)
    load.history.record_loss("another incarnation", lasting=False)
    for _ in range(2):
        replica = harness.valkeys.start_replica()
        wait(3)
        harness.valkeys.kill(replica)
        harness.valkeys.drop_link()
        wait(4)


def failover(harness: Harness, load: Load) -> None:
    old, new = harness.valkeys.primary, harness.valkeys.start_replica()
    _let_replica_lag(harness, 4)
    with _redis_loss(load, "failover"):
        harness.valkeys.promote(new)
        harness.proxies["redis"].point_to(new)
        harness.valkeys.kill(old)
    wait(4)


def split_brain(harness: Harness, load: Load) -> None:
    old, new = harness.valkeys.primary, harness.valkeys.start_replica()
    isolated = InProcessClient(load, harness.settings(old), "a client of the old primary")
    _let_replica_lag(harness, 3)
    with _redis_loss(load, "two primaries"):
        harness.valkeys.promote(new)
        isolated.start()
        harness.proxies["redis"].point_to(new)
        wait(20)
        isolated.stop()
        harness.valkeys.kill(old)
    assert isolated.acknowledged, "no client wrote to the old primary"
    wait(3)


def _let_replica_lag(harness: Harness, seconds: float) -> None:
    link = harness.valkeys.link
    assert link is not None
    wait(2)
    link.set(Mode.HANG)
    wait(seconds)


def queue_down(harness: Harness, load: Load) -> None:
    with harness.broken("localstack", Mode.REFUSE):
        wait(20)


def queue_responses_lost(harness: Harness, load: Load) -> None:
    with harness.broken("localstack", Mode.MUTE):
        wait(20)


def services_slow(harness: Harness, load: Load) -> None:
    for service in harness.proxies:
        with harness.broken(service, Mode.SLOW, 0.15):
            wait(10)


def services_reset(harness: Harness, load: Load) -> None:
    for service in harness.proxies:
        with harness.broken(service, Mode.RESET):
            wait(10)


def services_hang(harness: Harness, load: Load) -> None:
    for service in harness.proxies:
        with harness.broken(service, Mode.HANG):
            wait(10)


def delivered_twice(harness: Harness, load: Load) -> None:
    before, harness.sends_twice = harness.sent_twice, True
    wait(20)
    harness.sends_twice = False
    assert harness.sent_twice > before, "no record was sent twice"


def clocks_apart(harness: Harness, load: Load) -> None:
    settings = harness.settings(harness.valkeys.primary)
    clients = [
        InProcessClient(load, settings, "a client an hour fast", HOUR_SECONDS, repairs=True),
        InProcessClient(load, settings, "a client an hour slow", -HOUR_SECONDS, repairs=True),
    ]
    for client in clients:
        client.start()
    wait(20)
    for client in clients:
        client.stop()
        assert client.acknowledged, f"{client.name} wrote nothing"


SCENARIOS = [
    Scenario("persist-killed", "the persist worker killed 8 times", persist_killed),
    Scenario("index-killed", "the index worker killed 8 times", index_killed),
    Scenario("inbox-killed", "the inbox worker killed 8 times", inbox_killed),
    Scenario("api-killed", "the API function killed 8 times", api_killed),
    Scenario("database-down", "MySQL killed, down for 30 s", database_down),
    Scenario("database-read-only", "MySQL read-only for 15 s", database_read_only),
    Scenario("search-down", "OpenSearch refuses for 30 s, hangs for 30 s", search_down),
    Scenario("redis-flushed", "Valkey: FLUSHALL, 3 times", redis_flushed),
    Scenario("redis-restarted", "Valkey killed, restarted empty", redis_restarted_empty),
    Scenario("redis-restored", "Valkey killed, restarted from an older snapshot", redis_restored),
    Scenario("replica-attached", "a first replica attaches and leaves, twice", replica_attached),
    Scenario("failover", "failover to a replica that is 4 s behind", failover),
    Scenario("split-brain", "two primaries for 20 s, both accept writes", split_brain),
    Scenario("queue-down", "SQS refuses for 20 s", queue_down),
    Scenario(
        "queue-responses-lost",
        "SQS accepts records, its responses are lost, 20 s",
        queue_responses_lost,
    ),
    Scenario("services-slow", "each service slow in turn, 10 s each", services_slow),
    Scenario(
        "services-reset", "connections to each service reset in turn, 10 s each", services_reset
    ),
    Scenario("services-hang", "each service hangs in turn, 10 s each", services_hang),
    Scenario("delivered-twice", "every record sent twice, 20 s", delivered_twice),
    Scenario("clocks-apart", "clocks an hour fast and an hour slow, 20 s", clocks_apart),
]

# The names that `--only` takes.
NAMES = tuple(scenario.name for scenario in SCENARIOS)
