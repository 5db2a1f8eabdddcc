"""The behaviour of the sequencer if its keys are on several servers."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import redis
from msgspec import json

from chalicelib.adapters import circuit
from chalicelib.adapters.redis.codec import counter_key
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import OutageError, UnavailableError
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import AppToken, ChatNumber, ListedApplication, Message, Pending
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.operators.pending import connect, measure_backlog
from chalicelib.usecases.persist import persist_messages
from chalicelib.usecases.repair import repair_pending
from tests.contract.cluster import Cluster, running_cluster
from tests.contract.factories import (
    NOW,
    application,
    cache_application,
    hold_first_lease,
    message,
    messages,
)
from tests.fakes.clock import FakeClock
from tests.fakes.ports import FakePorts, far_deadline

# How long the circuits of these tests stay open.
OPEN_SECONDS = 1.0
# A call to a node that responds takes about a millisecond, and longer on a busy machine. A node that hangs
# costs three seconds.
NO_WAIT_SECONDS = 2.0
MARGIN_SECONDS = 1.5
PAGE = PageRequest(before=None, after=None, limit=10)
DRAFT = Message(number=0, revision=0, body="hello", created_at="2026-09-21T14:13:20.000Z")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def sequencer(cluster: Cluster) -> Iterator[RedisSequencer]:
    sequencer = RedisSequencer(cluster.url, SystemClock(), 1000)
    yield sequencer
    sequencer.close()


def token_on(cluster: Cluster, port: int) -> AppToken:
    return next(t for t in iter(new_token, "") if cluster.port_of(t) == port)


def new_token() -> AppToken:
    return AppToken(secrets.token_hex(15))


def application_on(cluster: Cluster, sequencer: RedisSequencer, port: int) -> str:
    """The token of an application whose keys are on this node, with a lease for chat 1."""
    token = token_on(cluster, port)
    cache_application(sequencer, application(token))
    hold_first_lease(sequencer, Counter(token, 1), 1000)
    return token


def accept(sequencer: RedisSequencer, token: str) -> Accepted:
    accepted = sequencer.accept(Tenant(token, 1), Counter(token, 1), [DRAFT])
    assert isinstance(accepted, Accepted)
    return accepted


def test_each_node_is_its_own_incarnation(cluster: Cluster, sequencer: RedisSequencer) -> None:
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    holders = {accept(sequencer, token).lease.holder for token in tokens}
    assert len(holders) == len(cluster.ports)


def test_reads_of_many_applications_reach_all_nodes(cluster: Cluster) -> None:
    clock = FakeClock()
    sequencer = RedisSequencer(cluster.url, clock, 1000)
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    at = clock.now_ms()
    for token in tokens:
        accept(sequencer, token)
    assert sequencer.oldest_pending(tokens) == at
    clock.wait(3600)
    assert sequencer.list_overdue(tokens, 10) == [(Counter(token, 1), 1) for token in tokens]
    acknowledged = {}
    for token in tokens:
        [pending] = sequencer.get_pending({Counter(token, 1): [1]})[Counter(token, 1)]
        acknowledged[Counter(token, 1)] = {1: pending.version.revision}
    # No node has the script yet.
    sequencer.acknowledge(acknowledged)
    assert sequencer.list_idle(tokens, 0, 10) == [Counter(token, 1) for token in tokens]
    sequencer.close()


def test_an_operator_sees_what_is_pending_on_all_nodes(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    for token in tokens:
        accept(sequencer, token)
    listed = [ListedApplication(number, token) for number, token in enumerate(tokens, 1)]
    with connect(cluster.url) as client:
        seen = measure_backlog(client, lambda after, limit: [] if after else listed)
    assert (seen.entries, seen.applications) == (3, 3)


def test_the_repair_reaches_the_other_nodes_if_one_is_lost(cluster: Cluster) -> None:
    ports = FakePorts()
    ports.sequencer = sequencer = RedisSequencer(cluster.url, ports.clock, 1000)  # type: ignore[assignment]
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    for token in tokens:
        ports.store.applications.create_application(token, "x", NOW)
        accept(sequencer, token)
    ports.clock.wait(3600)
    cluster.kill(cluster.ports[0])
    result = repair_pending(ports, far_deadline())
    records = [json.decode(body, type=MessagesRecord) for body in ports.queues.take("messages")]
    assert sorted(record.token for record in records) == sorted(tokens[1:])
    assert (result.count, len(result.errors)) == (2, 1)
    sequencer.close()


def test_a_full_server_lets_what_is_pending_be_repaired_and_leases_be_released(
    cluster: Cluster,
) -> None:
    clock = FakeClock()
    sequencer = RedisSequencer(cluster.url, clock, 1000)
    port = cluster.ports[0]
    token = application_on(cluster, sequencer, port)
    counter = Counter(token, 1)
    accepted = accept(sequencer, token)
    with cluster.client(port) as node:
        node.config_set("maxmemory", 1)
        with pytest.raises(UnavailableError, match="maxmemory"):
            accept(sequencer, token)
        clock.wait(3600)
        assert sequencer.list_overdue([token], 10) == [(counter, 1)]
        sequencer.postpone({counter: {1: clock.now_ms() + 60_000}})
        assert sequencer.list_overdue([token], 10) == []
        clock.wait(61)
        assert sequencer.list_overdue([token], 10) == [(counter, 1)]
        assert sequencer.mark_releasing([counter], 0) == {}
        sequencer.acknowledge({counter: {1: accepted.revision}})
        released = sequencer.mark_releasing(sequencer.list_idle([token], 0, 10), 0)
        sequencer.forget_released(released)
        assert list(released) == [counter]
        assert not node.exists(f"{{{token}}}:chat:1", f"{{{token}}}:quiet", f"{{{token}}}:due")
    sequencer.close()


def test_a_lost_node_affects_only_its_own_applications(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    first, *others = [application_on(cluster, sequencer, port) for port in cluster.ports]
    cluster.kill(cluster.ports[0])
    for _ in range(circuit.FAILURES_TO_OPEN + 1):
        with pytest.raises(UnavailableError) as refused:
            accept(sequencer, first)
        # A worker gives up its whole batch after an `OutageError`.
        assert not isinstance(refused.value, OutageError)
    assert [accept(sequencer, token).first for token in others] == [1, 1]


def pending(sequencer: RedisSequencer, counter: Counter) -> list[Pending]:
    return sequencer.get_pending({counter: range(1, 6)})[counter]


@contextmanager
def down(cluster: Cluster, port: int, how: str) -> Iterator[None]:
    """A node that accepts requests and does not respond, or that is gone."""
    if how == "killed":
        cluster.kill(port)
        yield
        return
    with cluster.paused(port):
        yield


def tokens_by_port(cluster: Cluster, sequencer: RedisSequencer) -> dict[int, AppToken]:
    return {port: application_on(cluster, sequencer, port) for port in cluster.ports}


# In the first case, three calls of three seconds open the circuit, and then one more tries the node again.
@pytest.mark.parametrize(("how", "seconds"), [("paused", 12.0), ("killed", 3.0)])
def test_a_node_that_is_down_delays_and_refuses_nothing_of_the_others(
    cluster: Cluster,
    sequencer: RedisSequencer,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    seconds: float,
) -> None:
    monkeypatch.setattr(circuit, "OPEN_SECONDS", OPEN_SECONDS)
    tokens = tokens_by_port(cluster, sequencer)
    lost, *ports = cluster.ports
    took: list[float] = []
    with down(cluster, lost, how):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(circuit.FAILURES_TO_OPEN):
                with pytest.raises(UnavailableError):
                    accept(sequencer, tokens[lost])
            for port in ports:
                began = time.monotonic()
                accept(sequencer, tokens[port])
                sequencer.read_pending(Tenant(tokens[port], 1), Counter(tokens[port], 1), PAGE)
                took.append(time.monotonic() - began)
            time.sleep(0.02)  # the pause between two requests of a client
    assert len(took) > 10
    assert max(took) < NO_WAIT_SECONDS


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_a_call_for_many_applications_reaches_all_nodes_that_respond(
    cluster: Cluster, sequencer: RedisSequencer, how: str
) -> None:
    tokens = tokens_by_port(cluster, sequencer)
    counters = {port: Counter(token, ChatNumber(1)) for port, token in tokens.items()}
    for token in tokens.values():
        for _ in range(5):
            accept(sequencer, token)
    everything = {counter: dict.fromkeys(range(1, 6), 2**62) for counter in counters.values()}
    others = {Counter(tokens[cluster.ports[0]], ChatNumber(n)): {1: 1} for n in range(2, 50)}
    with down(cluster, cluster.ports[0], how):
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            sequencer.acknowledge(others | everything)
        assert time.monotonic() - began < 3 + MARGIN_SECONDS
        for port in cluster.ports[1:]:
            assert pending(sequencer, counters[port]) == []
            assert sequencer.list_idle([tokens[port]], 0, 10) == [counters[port]]


def test_what_is_persisted_is_acknowledged_on_the_nodes_that_respond(
    cluster: Cluster, sequencer: RedisSequencer, caplog: pytest.LogCaptureFixture
) -> None:
    ports: Any = FakePorts()
    ports.sequencer = sequencer
    tokens = tokens_by_port(cluster, sequencer)
    records = []
    for token in tokens.values():
        ports.store.applications.create_application(token, "a", NOW)
        accepted = accept(sequencer, token)
        records.append(messages(token, message(1, accepted.revision), lease=accepted.lease))
    lost, *others = cluster.ports
    with cluster.paused(lost):
        persist_messages(ports, records)
        for port in others:
            assert pending(sequencer, Counter(tokens[port], ChatNumber(1))) == []
    [line] = [line for line in caplog.records if "not acknowledged" in line.message]
    assert vars(line)["token"] == tokens[lost]


def test_applications_are_grouped_by_the_node_that_fails_with_them(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    tokens = tokens_by_port(cluster, sequencer)
    for token in tokens.values():
        accept(sequencer, token)
    groups = sequencer.by_node(tokens.values())
    assert groups == {f"127.0.0.1:{port}": [token] for port, token in tokens.items()}
    cluster.kill(cluster.ports[2])
    seen = []
    for group in groups.values():
        with suppress(UnavailableError):
            seen.append(sequencer.oldest_pending(group))
    assert len(seen) == 2
    assert None not in seen


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_a_process_can_start_while_a_node_is_down(
    cluster: Cluster, sequencer: RedisSequencer, how: str
) -> None:
    tokens = tokens_by_port(cluster, sequencer)
    lost, *ports = cluster.ports
    with down(cluster, lost, how):
        for _ in range(10):
            with closing(RedisSequencer(cluster.url_at(ports[0]), SystemClock(), 1000)) as started:
                began = time.monotonic()
                for port in ports:
                    accept(started, tokens[port])
                assert time.monotonic() - began < NO_WAIT_SECONDS


def test_a_node_that_lost_the_scripts_gets_them_while_another_is_down(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    tokens = tokens_by_port(cluster, sequencer)
    lost, port, _ = cluster.ports
    with cluster.paused(lost):
        with closing(cluster.client(port)) as node:
            node.script_flush()
        began = time.monotonic()
        first = accept(sequencer, tokens[port])
        sequencer.acknowledge({Counter(tokens[port], ChatNumber(1)): {1: first.revision}})
        assert time.monotonic() - began < NO_WAIT_SECONDS


def test_after_a_late_reply_the_next_script_gets_its_own(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    port = cluster.ports[1]
    token = application_on(cluster, sequencer, port)
    with cluster.paused(port), pytest.raises(UnavailableError):
        accept(sequencer, token)
    assert [accept(sequencer, token).first for _ in range(3)] == [2, 3, 4]


def test_keys_that_move_to_another_node_are_found_there(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    old_node, new_node, _ = cluster.ports
    token = token_on(cluster, old_node)
    assert sequencer.by_node([token]) == {f"127.0.0.1:{old_node}": [token]}
    cluster.move_slot(token, new_node)
    assert sequencer.oldest_pending([token]) is None
    assert sequencer.by_node([token]) == {f"127.0.0.1:{new_node}": [token]}
    other = token_on(cluster, old_node)
    cluster.move_slot(other, new_node)
    cache_application(sequencer, application(other))
    hold_first_lease(sequencer, Counter(other, ChatNumber(1)), 1000)
    first = accept(sequencer, other)
    sequencer.acknowledge({Counter(other, ChatNumber(1)): {1: first.revision}})
    with closing(cluster.client(new_node)) as node:
        assert node.keys(f"{{{other}}}*")


def test_slots_that_no_node_has_affect_only_their_own_applications(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    old_node, new_node, _ = cluster.ports
    token = application_on(cluster, sequencer, new_node)
    missing = token_on(cluster, old_node)
    cluster.drop_slot(missing)
    with closing(RedisSequencer(cluster.url, SystemClock(), 1000)) as started:
        assert accept(started, token).first == 1
        assert started.by_node([missing, token]) == {
            "": [missing],
            f"127.0.0.1:{new_node}": [token],
        }
        with pytest.raises(UnavailableError):
            started.oldest_pending([missing])
        cluster.move_slot(missing, new_node)
        with pytest.raises(UnavailableError):
            started.oldest_pending([missing])
        assert started.oldest_pending([missing]) is None


def test_a_script_without_a_reply_is_not_sent_again(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    port = cluster.ports[1]
    token = application_on(cluster, sequencer, port)
    assert accept(sequencer, token).first == 1
    with cluster.paused(port), pytest.raises(UnavailableError):
        accept(sequencer, token)
    with redis.Redis(port=port) as node:
        assert node.ping()
        assert node.hget(f"{{{token}}}:chat:1", "last") == b"2"


def test_while_a_slot_moves_only_its_applications_wait_and_no_number_is_issued_twice(
    cluster: Cluster,
) -> None:
    """The classic way to move a slot: some keys of a script are on the old node, some on the new one."""
    sequencer = RedisSequencer(
        cluster.url, SystemClock(), 1000, fixed_holder="the store keeps writes"
    )
    port = cluster.ports[0]
    moving, staying = (application_on(cluster, sequencer, port) for _ in range(2))
    assert accept(sequencer, moving).first == 1
    with cluster.half_moved(f"{{{moving}}}", moved=counter_key(Counter(moving, 1))):
        for _ in range(4):  # more failures than a circuit allows
            with pytest.raises(UnavailableError):
                accept(sequencer, moving)
        assert accept(sequencer, staying).first == 1
    assert accept(sequencer, moving).first == 2
    sequencer.close()


def test_the_user_of_the_functions_can_neither_wipe_nor_list_nor_reconfigure(
    cluster: Cluster,
) -> None:
    password = cluster.url.split(":")[2].split("@")[0]
    with redis.Redis(port=cluster.ports[0], username="ordinal", password=password) as node:
        for command in ("FLUSHALL", "KEYS *", "CONFIG GET *", "SHUTDOWN", "CLUSTER RESET"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                node.execute_command(*command.split())
