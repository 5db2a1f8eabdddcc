"""Parts that hang, refuse or reset connections.

Calls end within their time limits. The circuit opens, and closes when the part responds again.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import get_args
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from chalicelib.adapters import circuit
from chalicelib.adapters.aws import SqsQueues
from chalicelib.adapters.mysql.database import REQUEST_READ_TIMEOUT_SECONDS, Database
from chalicelib.adapters.opensearch.index import Connection, OpenSearchIndex
from chalicelib.adapters.opensearch.mapping import VERSION, migrate
from chalicelib.adapters.redis.codec import due_key
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter
from tests.aws_clients import local_client
from tests.contract.conftest import part_url
from tests.contract.relay import Mood, Relay, relay_to

# How much longer than its limit a call may take on a busy machine.
MARGIN_SECONDS = 1.5
# How long the circuits of these tests stay open.
OPEN_SECONDS = 1.0


class Part(msgspec.Struct, frozen=True):
    """An adapter behind a relay, with a call that succeeds and a call that the part refuses."""

    relay: Relay
    limit_seconds: float
    call: Callable[[], object]
    refused: Callable[[], object]


@contextmanager
def redis_part(moved: Callable[[str], tuple[Relay, str]]) -> Iterator[Part]:
    relay, url = moved(part_url("redis"))
    token = secrets.token_hex(15)
    with closing(RedisSequencer(url, SystemClock(), 10)) as sequencer:
        with closing(redis.Redis.from_url(part_url("redis"))) as client:
            client.set(due_key(token), "of a wrong type", ex=60)
        yield Part(relay, 3, sequencer.ping, lambda: sequencer.list_overdue([token], 1))


@contextmanager
def mysql_part(moved: Callable[[str], tuple[Relay, str]]) -> Iterator[Part]:
    relay, url = moved(part_url("mysql"))
    with closing(Database(url, REQUEST_READ_TIMEOUT_SECONDS)) as database:
        yield Part(
            relay,
            REQUEST_READ_TIMEOUT_SECONDS,
            lambda: database.read("SELECT 1"),
            lambda: database.read("SELECT 1 FROM no_such_table"),
        )


@contextmanager
def sqs_part(moved: Callable[[str], tuple[Relay, str]]) -> Iterator[Part]:
    relay, url = moved(part_url("aws"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_ENDPOINT_URL", part_url("aws"))
        with closing(local_client(part_url("aws"), "sqs")) as client:
            queue = client.create_queue(QueueName=f"hanging-{secrets.token_hex(4)}")["QueueUrl"]
            patch.setenv("AWS_ENDPOINT_URL", url)
            queues = SqsQueues({"messages": queue, "chats": f"{queue}-missing"}, {})
            with closing(queues):
                yield Part(relay, 7, queues.ping, lambda: queues.delay("chats", {"receipt": 1}))
            client.delete_queue(QueueUrl=queue)


@contextmanager
def opensearch_part(moved: Callable[[str], tuple[Relay, str]]) -> Iterator[Part]:
    real, alias = part_url("opensearch"), f"hanging-{secrets.token_hex(4)}"
    migrate(real, alias)
    relay, url = moved(real)
    index, missing = OpenSearchIndex(url, alias), OpenSearchIndex(url, f"{alias}-missing")
    yield Part(relay, 4, index.ping, missing.ping)
    Connection(real).call(lambda client: client.indices.delete(index=f"{alias}-v{VERSION}"))


PARTS = {
    "redis": redis_part,
    "mysql": mysql_part,
    "sqs": sqs_part,
    "opensearch": opensearch_part,
}


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Part]:
    monkeypatch.setattr(circuit, "OPEN_SECONDS", OPEN_SECONDS)
    relays: list[Relay] = []

    def moved(url: str) -> tuple[Relay, str]:
        """A relay to the part, and the part's URL with the relay's port."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        relay = Relay(parts.hostname, parts.port)
        relays.append(relay)
        netloc = parts.netloc.replace(f":{parts.port}", f":{relay.port}")
        return relay, parts._replace(netloc=netloc).geturl()

    try:
        with PARTS[request.param](moved) as part:
            part.call()
            yield part
    finally:
        for relay in relays:
            relay.close()


def seconds_to_fail(call: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        call()
    return time.monotonic() - started


def fail_until_open(part: Part) -> None:
    """Several clients at the same time. No lock in the adapter may make their waits add up."""
    clients = circuit.FAILURES_TO_OPEN
    with ThreadPoolExecutor(clients) as pool:
        waits = list(pool.map(lambda _: seconds_to_fail(part.call), range(clients)))
    assert max(waits) < part.limit_seconds + MARGIN_SECONDS


def wait_for_response(call: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(UnavailableError):
            call()
            return
        time.sleep(0.05)  # the pause between two checks, not the wait itself
    pytest.fail(f"no response in {seconds} s")


@pytest.mark.parametrize("mood", [mood for mood in get_args(Mood) if mood != "forward"])
def test_a_part_that_does_not_respond_gets_no_calls_until_it_responds(
    part: Part, mood: Mood
) -> None:
    part.relay.turn(mood)
    fail_until_open(part)
    part.relay.turn("forward")
    connections = part.relay.connections
    with pytest.raises(UnavailableError, match="does not respond") as refused:
        part.call()
    assert refused.value.retry_after_seconds == OPEN_SECONDS
    assert part.relay.connections == connections
    wait_for_response(part.call, OPEN_SECONDS + MARGIN_SECONDS)
    part.call()


def test_a_part_that_still_does_not_respond_gets_no_calls_again(part: Part) -> None:
    part.relay.turn("reset")
    fail_until_open(part)
    connections = part.relay.connections
    until = time.monotonic() + OPEN_SECONDS + MARGIN_SECONDS
    while part.relay.connections == connections:
        assert time.monotonic() < until, "nobody tried again"
        seconds_to_fail(part.call)
        time.sleep(0.05)  # the pause between two checks, not the wait itself
    connections = part.relay.connections
    seconds_to_fail(part.call)
    assert part.relay.connections == connections


def test_an_error_response_does_not_open_the_circuit(part: Part) -> None:
    for _ in range(circuit.FAILURES_TO_OPEN + 1):
        with pytest.raises(UnavailableError) as refused:
            part.refused()
        assert "does not respond" not in str(refused.value)
    part.call()


def test_an_open_circuit_affects_one_adapter() -> None:
    url = urlsplit(part_url("redis"))
    assert url.hostname is not None
    assert url.port is not None
    with relay_to(url.hostname, url.port) as relay:
        moved = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{relay.port}")).geturl()
        with (
            closing(RedisSequencer(moved, SystemClock(), 10)) as unreachable,
            closing(RedisSequencer(url.geturl(), SystemClock(), 10)) as reachable,
        ):
            relay.turn("refuse")
            for _ in range(circuit.FAILURES_TO_OPEN + 1):
                seconds_to_fail(lambda: unreachable.acknowledge({Counter("t", 1): {1: 1}}))
            reachable.ping()
