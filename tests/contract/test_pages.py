"""No page skips a number that was accepted, whatever happens between its two reads, also on real servers."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.domain.auth import Tenant
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.paging import Page, PageRequest
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord
from chalicelib.usecases.accept import create_chat, create_message
from chalicelib.usecases.maintenance import release_idle_leases
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.read import list_chats, list_messages
from tests.contract.conftest import part_url
from tests.contract.databases import migrated_database
from tests.contract.factories import message, messages
from tests.contract.test_store import new_application
from tests.fakes.ports import FakePorts, far_deadline

NOW = "2026-01-31T12:00:00.000Z"


class _Interposed:
    """A store, or a role of it. Before it reads a list for the first time, `meanwhile` happens."""

    def __init__(self, port: Any, meanwhile: list[Callable[[], None]]) -> None:
        self._port, self._meanwhile = port, meanwhile

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return _Interposed(value, self._meanwhile)
        if name in ("list_messages", "list_chats"):
            while self._meanwhile:
                self._meanwhile.pop()()
        return value if callable(value) else _Interposed(value, self._meanwhile)


@pytest.fixture(params=["fake", "real"])
def ports(request: pytest.FixtureRequest) -> Iterator[FakePorts]:
    ports = FakePorts()
    if request.param == "fake":
        yield ports
        return
    with migrated_database("mariadb") as url:
        store = MySqlStore(url)
        sequencer = RedisSequencer(part_url("redis"), ports.clock, 10)
        real: Any = ports
        real.store, real.sequencer = store, sequencer
        yield ports
        sequencer.close()
        store.close()


@pytest.fixture
def tenant(ports: FakePorts) -> Tenant:
    return Tenant(new_application(ports.store), 1)


def post(ports: FakePorts, tenant: Tenant) -> int:
    draft = Message(number=0, revision=0, body="hello", created_at=NOW)
    return create_message(ports, tenant, 1, draft).value.number


def add_chat(ports: FakePorts, tenant: Tenant) -> int:
    return create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW)).value.number


def persist_last(ports: FakePorts) -> list[AnyRecord]:
    """Persist the last record of each queue. Returns the others: they come late."""
    late: list[AnyRecord] = []
    for queue, kind, persist in (
        ("chats", ChatsRecord, persist_chats),
        ("messages", MessagesRecord, persist_messages),
    ):
        records: list[Any] = [msgspec.json.decode(r, type=kind) for r in ports.queues.take(queue)]
        persist(ports, records[-1:])  # type: ignore[operator]
        late += records[:-1]
    return late


class Reader:
    """Reads the pages of one list, while other requests run between the two reads of a page."""

    def __init__(self, ports: FakePorts, tenant: Tenant, of_chats: bool) -> None:
        self.ports, self.tenant, self.of_chats = ports, tenant, of_chats
        self.late: list[AnyRecord] = []
        self._meanwhile: list[Callable[[], None]] = []
        self._ports: Any = FakePorts()
        self._ports.sequencer = ports.sequencer
        self._ports.store = _Interposed(ports.store, self._meanwhile)

    def page(self, **bounds: Any) -> tuple[list[int], int | None]:
        request = PageRequest(**{"limit": 10, **bounds})
        page: Page[Any, int]
        if self.of_chats:
            page = list_chats(self._ports, self.tenant, request).value
            return [row.chat.number for row in page.items], page.next_cursor
        page = list_messages(self._ports, self.tenant, 1, request).value
        return [version.number for version in page.items], page.next_cursor

    def create(self) -> int:
        return (add_chat if self.of_chats else post)(self.ports, self.tenant)

    def create_during_the_next_page(self, count: int) -> None:
        """Only the last record is persisted before the rows are read."""

        def create() -> None:
            for _ in range(count):
                self.create()
            self.late = persist_last(self.ports)

        self._meanwhile.append(create)

    def persist_late(self) -> None:
        persist_chats(self.ports, [r for r in self.late if isinstance(r, ChatsRecord)])
        persist_messages(self.ports, [r for r in self.late if isinstance(r, MessagesRecord)])


@pytest.fixture(params=["messages", "chats"])
def reader(request: pytest.FixtureRequest, ports: FakePorts, tenant: Tenant) -> Reader:
    of_chats = request.param == "chats"
    add_chat(ports, tenant)
    if not of_chats:
        post(ports, tenant)
    ports.persist()
    return Reader(ports, tenant, of_chats)


def test_a_client_that_pages_upwards_gets_every_number(reader: Reader) -> None:
    reader.create_during_the_next_page(2)
    shown, _ = reader.page(after=1)
    assert shown in ([], [2, 3])
    reader.persist_late()
    assert shown + reader.page(after=max(shown, default=1))[0] == [2, 3]


def test_a_client_of_an_idle_counter_gets_every_number(reader: Reader) -> None:
    assert release_idle_leases(reader.ports, far_deadline(), idle_ms=0).count > 0
    reader.create_during_the_next_page(2)
    shown, _ = reader.page(after=1)
    assert shown in ([], [2, 3])
    reader.persist_late()
    assert shown + reader.page(after=max(shown, default=1))[0] == [2, 3]


@pytest.mark.parametrize("is_idle", [False, True])
def test_the_newest_page_is_full_and_continues(reader: Reader, is_idle: bool) -> None:
    for _ in range(3):
        reader.create()
    reader.ports.persist()
    if is_idle:
        release_idle_leases(reader.ports, far_deadline(), idle_ms=0)
    reader.create_during_the_next_page(2)
    assert reader.page(limit=2) == ([6, 5], 5)
    reader.persist_late()
    assert reader.page(limit=2, before=5) == ([4, 3], 3)
    assert reader.page(limit=2, before=3) == ([2, 1], None)


def test_numbers_that_another_incarnation_issued_are_listed(
    ports: FakePorts, tenant: Tenant
) -> None:
    add_chat(ports, tenant)
    post(ports, tenant)
    ports.persist()
    record = messages(tenant.token, message(11, 2 << 32), lease=Lease("another incarnation", 2, 20))
    ports.store.persistence.persist_messages([record], 10)
    assert Reader(ports, tenant, of_chats=False).page() == ([11, 1], None)
