"""The faults. Each is made while the load runs, and is over when its function returns."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import msgspec

from tests.faults.ground import Ground
from tests.faults.inside import Inside
from tests.faults.load import Load
from tests.faults.parts import running
from tests.faults.proxy import Mode

Violation = Callable[[Ground, Load], None]

HOUR_SECONDS = 3600


class Scenario(msgspec.Struct):
    """A fault by its name; the sentence stands in the table."""

    name: str
    sentence: str
    make: Violation


def last(seconds: float) -> None:
    """The fault lasts so long."""
    time.sleep(seconds)


@contextlib.contextmanager
def _memory_lost(load: Load, what: str) -> Iterator[None]:
    loss = load.history.lost(what, lasting=True)
    yield
    load.history.over(loss)


def persist_killed(ground: Ground, load: Load) -> None:
    _killed_again_and_again(ground, "persist_messages")


def index_killed(ground: Ground, load: Load) -> None:
    _killed_again_and_again(ground, "index_messages")


def inbox_killed(ground: Ground, load: Load) -> None:
    _killed_again_and_again(ground, "accept_inbox")


def api_killed(ground: Ground, load: Load) -> None:
    _killed_again_and_again(ground, "app.app")


def _killed_again_and_again(ground: Ground, function: str) -> None:
    killed = 0
    for _ in range(8):
        last(1.5)
        killed += ground.kill_function(function)
    assert killed > 1, f"{function} did not run"


def database_away(ground: Ground, load: Load) -> None:
    ground.database.kill()
    last(30)
    ground.database.start()


def database_read_only(ground: Ground, load: Load) -> None:
    ground.database.sql("SET GLOBAL read_only = 1")
    last(15)
    ground.database.sql("SET GLOBAL read_only = 0")


def search_away(ground: Ground, load: Load) -> None:
    with ground.broken("opensearch", Mode.REFUSE):
        last(30)
    process = running(ground.stack, "opensearch")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        last(30)
    finally:
        os.kill(process.pid, signal.SIGCONT)


def redis_flushed(ground: Ground, load: Load) -> None:
    for _ in range(3):
        with _memory_lost(load, "FLUSHALL"), contextlib.closing(ground.valkeys.client()) as client:
            client.flushall()
        last(4)


def redis_restarted_empty(ground: Ground, load: Load) -> None:
    with _memory_lost(load, "restarted empty"):
        ground.valkeys.kill()
        last(5)
        ground.valkeys.start()
    last(4)


def redis_restored(ground: Ground, load: Load) -> None:
    snapshot = ground.valkeys.save()
    last(6)
    with _memory_lost(load, "an older snapshot"):
        ground.valkeys.kill()
        ground.valkeys.start(snapshot)
    last(4)


def replica_attached(ground: Ground, load: Load) -> None:
    """Nothing is lost by it, but the memory gets another name (docs/reliability.md), so numbers are skipped.

    A primary gives its memory another replication id with its first replica, and again with the
    first one after an hour without any; here the hour is a second.
    """
    with contextlib.closing(ground.valkeys.client()) as client:
        client.config_set("repl-backlog-ttl", 1)
    load.history.lost("the memory got another name", lasting=False)
    for _ in range(2):
        replica = ground.valkeys.start_replica()
        last(3)
        ground.valkeys.kill(replica)
        ground.valkeys.drop_link()
        last(4)


def failover(ground: Ground, load: Load) -> None:
    old, new = ground.valkeys.primary, ground.valkeys.start_replica()
    _let_the_replica_lag(ground, 4)
    with _memory_lost(load, "failover"):
        ground.valkeys.promote(new)
        ground.proxies["redis"].point_to(new)
        ground.valkeys.kill(old)
    last(4)


def split(ground: Ground, load: Load) -> None:
    old, new = ground.valkeys.primary, ground.valkeys.start_replica()
    left_behind = Inside(load, ground.settings(old), "who still sees the old primary")
    _let_the_replica_lag(ground, 3)
    with _memory_lost(load, "two primaries"):
        ground.valkeys.promote(new)
        left_behind.start()
        ground.proxies["redis"].point_to(new)
        last(20)
        left_behind.stop()
        ground.valkeys.kill(old)
    assert left_behind.acknowledged, "nobody wrote to the old primary"
    last(3)


def _let_the_replica_lag(ground: Ground, seconds: float) -> None:
    link = ground.valkeys.link
    assert link is not None
    last(2)
    link.set(Mode.HANG)
    last(seconds)


def queue_away(ground: Ground, load: Load) -> None:
    with ground.broken("localstack", Mode.REFUSE):
        last(20)


def queue_answers_lost(ground: Ground, load: Load) -> None:
    with ground.broken("localstack", Mode.MUTE):
        last(20)


def parts_slow(ground: Ground, load: Load) -> None:
    for part in ground.proxies:
        with ground.broken(part, Mode.SLOW, 0.15):
            last(10)


def parts_cut(ground: Ground, load: Load) -> None:
    for part in ground.proxies:
        with ground.broken(part, Mode.CUT):
            last(10)


def parts_hang(ground: Ground, load: Load) -> None:
    for part in ground.proxies:
        with ground.broken(part, Mode.HANG):
            last(10)


def delivered_twice(ground: Ground, load: Load) -> None:
    before, ground.doubling = ground.doubled, True
    last(20)
    ground.doubling = False
    assert ground.doubled > before, "nothing was sent twice"


def clocks_apart(ground: Ground, load: Load) -> None:
    settings = ground.settings(ground.valkeys.primary)
    apart = [
        Inside(load, settings, "an hour ahead", HOUR_SECONDS, repairs=True),
        Inside(load, settings, "an hour behind", -HOUR_SECONDS, repairs=True),
    ]
    for one in apart:
        one.start()
    last(20)
    for one in apart:
        one.stop()
        assert one.acknowledged, f"{one.name} wrote nothing"


SCENARIOS = [
    Scenario("persist-killed", "the persist worker killed 8 times", persist_killed),
    Scenario("index-killed", "the index worker killed 8 times", index_killed),
    Scenario("inbox-killed", "the inbox worker killed 8 times", inbox_killed),
    Scenario("api-killed", "the API function killed 8 times", api_killed),
    Scenario("database-away", "MySQL killed, away for 30 s", database_away),
    Scenario("database-read-only", "MySQL read-only for 15 s", database_read_only),
    Scenario("search-away", "OpenSearch refuses for 30 s, hangs for 30 s", search_away),
    Scenario("redis-flushed", "Valkey: FLUSHALL, 3 times", redis_flushed),
    Scenario("redis-restarted", "Valkey killed, restarted empty", redis_restarted_empty),
    Scenario("redis-restored", "Valkey killed, restarted from an older snapshot", redis_restored),
    Scenario("replica-attached", "a first replica comes and goes, twice", replica_attached),
    Scenario("failover", "failover to a replica that is 4 s behind", failover),
    Scenario("split", "two primaries for 20 s, both written to", split),
    Scenario("queue-away", "SQS refuses for 20 s", queue_away),
    Scenario(
        "queue-answers-lost", "SQS takes records, its answers get lost, 20 s", queue_answers_lost
    ),
    Scenario("parts-slow", "each part slow in turn, 10 s each", parts_slow),
    Scenario("parts-cut", "connections to each part cut in turn, 10 s each", parts_cut),
    Scenario("parts-hang", "each part hangs in turn, 10 s each", parts_hang),
    Scenario("delivered-twice", "every record sent twice, 20 s", delivered_twice),
    Scenario("clocks-apart", "clocks an hour ahead and behind, 20 s", clocks_apart),
]
