"""Leases of idle counters are released, and a crash at any point skips no number."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import Chat, Message
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.maintenance import IDLE_MS, purge_deleted, release_idle_leases
from tests.fakes.ports import FakePorts, far_deadline

NOW = "2026-01-01T00:00:00.000Z"
TENANT = Tenant("0123456789abcdef0123456789abcd", 1)
MESSAGES = Counter(TENANT.token, 1)


@pytest.fixture
def ports() -> FakePorts:
    """A chat with three messages, all persisted, and idle for an hour."""
    ports = FakePorts()
    ports.store.applications.create_application(TENANT.token, "idle", NOW)
    create_chat(ports, TENANT, Chat(number=0, revision=0, created_at=NOW))
    for _ in range(3):
        post(ports)
    ports.persist()
    ports.clock.wait(IDLE_MS / 1000 + 1)
    return ports


def post(ports: Any) -> int:
    draft = Message(number=0, revision=0, body="hello", created_at=NOW)
    return create_messages(ports, TENANT, 1, [draft]).value.first


def release(ports: Any) -> int:
    """How many leases were released."""
    result = release_idle_leases(ports, far_deadline())
    assert result.errors == []
    return result.count


def test_an_idle_application_leaves_nothing_in_redis(ports: FakePorts) -> None:
    assert release(ports) == 2
    assert counters(ports) == set()
    assert release(ports) == 0


def test_the_next_message_and_the_next_chat_follow_the_last_ones(ports: FakePorts) -> None:
    release(ports)
    assert post(ports) == 4
    assert create_chat(ports, TENANT, Chat(number=0, revision=0, created_at=NOW)).value.number == 2
    ports.persist()
    assert ports.store.leases.skipped_numbers(TENANT.token, 1) == []


def test_a_message_can_be_edited_after_the_release_of_its_chat(ports: FakePorts) -> None:
    release(ports)
    edit_message(ports, TENANT, 1, 2, lambda m: replace(m, body="edited"))
    ports.persist()
    stored = ports.store.messages.get_message(TENANT.token, 1, 2)
    assert stored is not None
    assert stored.body == "edited"
    assert post(ports) == 4


def test_a_chat_with_pending_messages_is_not_released(ports: FakePorts) -> None:
    post(ports)
    assert release(ports) == 1
    ports.persist()
    assert release(ports) == 0
    assert f"{{{TENANT.token}}}:chat:1" in counters(ports)


def test_an_application_that_is_purged_is_erased_from_redis(ports: FakePorts) -> None:
    delete_application(ports, TENANT.token, None)
    ports.clock.wait(3600)
    for _ in range(3):
        purge_deleted(ports, far_deadline())
    assert counters(ports) == set()


def test_many_idle_chats_are_released_by_few_calls(ports: FakePorts) -> None:
    for _ in range(1_200):
        create_chat(ports, TENANT, Chat(number=0, revision=0, created_at=NOW))
        ports.persist()
    ports.clock.wait(IDLE_MS / 1000 + 1)
    killed = _KilledPorts(ports, 1_000_000)
    assert release(killed) == 1_202
    assert 1_000_000 - killed.left < 30
    assert counters(ports) == set()


class _KilledError(BaseException):
    """Stands for the kill of the process: no code handles it."""


class _KilledPorts:
    """Ports whose process is killed after this number of calls."""

    def __init__(self, ports: FakePorts, calls: int) -> None:
        self._ports, self.left = ports, calls

    def __getattr__(self, name: str) -> Any:
        port = getattr(self._ports, name)
        return _Port(self, port) if name in ("sequencer", "store", "queues") else port


class _Port:
    def __init__(self, ports: _KilledPorts, port: Any) -> None:
        self._ports, self._port = ports, port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return _Port(self._ports, method)  # a role of the store

        def call(*args: Any) -> Any:
            self._ports.left -= 1
            if self._ports.left < 0:
                raise _KilledError
            return method(*args)

        return call


def kills(work: Callable[[Any], object], ports: FakePorts) -> Iterator[int]:
    """Run the work, killed before its first call, then before its second call, until it completes."""
    for calls in range(30):
        try:
            work(_KilledPorts(ports, calls))
        except _KilledError:
            yield calls
        else:
            return
    raise AssertionError("it never completed")


def test_a_kill_at_any_point_of_a_release_skips_nothing(ports: FakePorts) -> None:
    numbers = [3]
    for calls in kills(release, ports):
        numbers.append(post(ports))
        ports.persist()
        ports.clock.wait(IDLE_MS / 1000 + calls)
    assert numbers == list(range(3, 3 + len(numbers)))
    assert len(numbers) > 5
    assert ports.store.leases.skipped_numbers(TENANT.token, 1) == []


def test_a_kill_at_any_point_of_an_acquisition_skips_nothing(ports: FakePorts) -> None:
    release(ports)
    for _ in kills(post, ports):
        ports.clock.wait(6)  # as long as others wait for the attempt that was killed
    last = post(ports)
    ports.queues.sent["messages"].clear()
    assert [
        p.version.number
        for p in ports.sequencer.get_pending({MESSAGES: range(1, last + 1)})[MESSAGES]
    ] == list(range(4, last + 1))
    assert ports.store.leases.skipped_numbers(TENANT.token, 1) == []


def counters(ports: FakePorts) -> set[str]:
    """The keys of the counters."""
    keys = (key.decode() for key in ports.sequencer.server.dataset.values)
    return {key for key in keys if not key.endswith((":application", ":usage"))}
