"""MySQL is restored from a dump that was made under load. The index is empty, and Redis is wiped or intact.

Real stores: a database that is dumped and another that it is restored into, an index and keys of its own.
The queues are in memory: they outlive the loss, as SQS does.
"""

import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Since
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.domain.search import Query, parse_query
from chalicelib.operators.advance_counters import AdvanceResult, advance_counters
from chalicelib.operators.pending import connect
from chalicelib.operators.recount import Recount
from chalicelib.operators.reindex import ReindexJob
from chalicelib.operators.scan import ScanPosition
from chalicelib.operators.verify import Report, verify
from chalicelib.operators.verify_counters import CounterLimits
from chalicelib.operators.verify_index import IndexCheck
from chalicelib.usecases.accept import create_chat, create_message
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.search import index_messages
from tests.contract.conftest import part_url
from tests.contract.databases import fresh_database
from tests.contract.factories import NOW
from tests.contract.indexed import Indexed, indexed
from tests.fakes.metrics import FakeMetrics
from tests.fakes.ports import far_deadline
from tests.fakes.queues import FakeQueues

TOOLS = Path(__file__).resolve().parents[2] / "var/tools/mariadb/bin"
WINDOW = 20
CHATS = 3
SINCE_THE_DUMP = 100
BY = 10_000
SECONDS = 120


class SharedQueues(FakeQueues):
    """For posting and processing at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def send(self, records: Iterable[AnyRecord]) -> None:
        with self._lock:
            super().send(records)

    def take(self, queue: str) -> list[str]:
        with self._lock:
            return super().take(queue)


class Drill:
    """An application, the responses that its clients got, and the ports that it runs on."""

    lease_window = WINDOW

    def __init__(self, stores: Indexed) -> None:
        self.clock, self.metrics, self.queues = SystemClock(), FakeMetrics(), SharedQueues()
        self.sequencer = RedisSequencer(part_url("redis"), self.clock, WINDOW)
        self.use(stores)
        self.token = secrets.token_hex(15)
        self.store.applications.create_application(self.token, "a drill", NOW)
        self.tenant = Tenant(self.token, 1)
        self.issued: dict[int, dict[int, str]] = {}
        self.newest: dict[int, int] = {}  # the highest revision of each chat

    def use(self, stores: Indexed) -> None:
        """Use these stores from now on."""
        self.stores, self.store, self.index = stores, stores.store, stores.index

    def new_chat(self) -> int:
        number = create_chat(
            self, self.tenant, Chat(number=0, revision=0, created_at=NOW)
        ).value.number
        assert number not in self.issued, "a chat's number was issued twice"
        self.issued[number], self.newest[number] = {}, 0
        return number

    def post(self, chat: int) -> None:
        body = f"needle {secrets.token_hex(4)}"
        draft = Message(number=0, revision=0, body=body, created_at=NOW)
        message = create_message(self, self.tenant, chat, draft).value
        assert message.number not in self.issued[chat], "a number was issued twice"
        assert message.revision > self.newest[chat], "a revision was issued twice"
        self.issued[chat][message.number], self.newest[chat] = body, message.revision

    def process_batch(self) -> None:
        """Process everything that is on the queues now."""
        if chats := self._taken("chats", ChatsRecord):
            persist_chats(self, chats)
        if messages := self._taken("messages", MessagesRecord):
            persist_messages(self, messages)
        if documents := self._taken("search", SearchRecord):
            index_messages(self, documents, far_deadline())

    def waiting(self) -> dict[tuple[int, int], str]:
        """Bodies of the messages that are on their queue."""
        records = [
            msgspec.json.decode(r, type=MessagesRecord) for r in self.queues.sent["messages"]
        ]
        return {(r.chat, m.number): m.body for r in records for m in r.messages}

    def dead_letter(self, chat: int) -> list[str]:
        """Remove the records of a chat's messages from their queue."""
        records = self.queues.take("messages")
        of_chat = [r for r in records if msgspec.json.decode(r, type=MessagesRecord).chat == chat]
        self.queues.sent["messages"] += [r for r in records if r not in of_chat]
        return of_chat

    def _taken(self, queue: str, kind: Any) -> list[Any]:
        return [msgspec.json.decode(body, type=kind) for body in self.queues.take(queue)]

    def stored(self) -> dict[tuple[int, int], str]:
        """Bodies by chat and number."""
        with closing(self.stores.scanner()) as scanner:
            return {
                (document.chat, document.message.number): document.message.body
                for chunk in scanner.chunks(ScanPosition(), self.token)
                for document in scanner.documents(chunk)
            }

    def ceilings(self) -> dict[int, int]:
        with closing(Database(self.stores.mysql_url)) as database:
            return {
                limit.counter.chat or 0: limit.ceiling
                for limit in CounterLimits(database).of_chats(self.token, 0, 100)
            }

    def follow(self, chat: int, since: Since) -> tuple[set[int], Since]:
        """The numbers that changed after `since`, and the new position."""
        numbers: set[int] = set()
        while page := self.store.messages.list_changes(self.token, chat, since, 500):
            numbers |= {change.message.number for change in page}
            since = page[-1].since
        return numbers, since

    def count_hits(self, chat: int) -> int:
        self.stores.reader.refresh()
        query = Query(token=self.token, chat=chat, terms=parse_query("needle"), limit=1)
        return self.index.search(query).total

    def reindex(self) -> None:
        with closing(self.stores.scanner()) as scanner:
            url, alias = self.stores.opensearch_url, self.stores.alias
            ReindexJob(scanner, url, lambda text: None, lambda copied, total: None, alias).run()

    def verify(self) -> Report:
        with (
            closing(self.stores.scanner()) as scanner,
            connect(part_url("redis")) as client,
        ):
            check = IndexCheck(scanner, self.stores.reader, lambda: 0, seconds=1)
            return verify(self.store, client, check, self.token)

    def forget(self) -> None:
        """Redis loses all data, and is the same incarnation afterwards."""
        with connect(part_url("redis")) as client:
            for key in client.scan_iter(match=f"{{{self.token}}}:*", count=1000):
                client.delete(key)


@contextmanager
def going_on(*works: Callable[[], None]) -> Iterator[None]:
    """Run each function again and again during the block, each on its own thread."""
    ended = threading.Event()

    def again(work: Callable[[], None]) -> None:
        while not ended.is_set():
            work()

    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(again, work) for work in works]
        try:
            yield
        finally:
            ended.set()
    for future in running:
        future.result()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)  # the pause between two checks


def client_of(tool: str, url: str) -> list[str]:
    """The command of one of MariaDB's tools for the database of a URL."""
    if not (TOOLS / tool).exists():
        pytest.skip(f"no {tool}: `make install STACK=test` puts it")
    parts = urlsplit(url)
    login = [f"--user={unquote(parts.username or '')}"]
    if parts.password:
        login.append(f"--password={unquote(parts.password)}")
    where = ["--no-defaults", "--protocol=tcp", f"--host={parts.hostname}", f"--port={parts.port}"]
    return [str(TOOLS / tool), *where, *login]


def dump(url: str) -> bytes:
    command = client_of("mariadb-dump", url)
    command += ["--single-transaction", "--skip-lock-tables", urlsplit(url).path[1:]]
    return subprocess.run(command, check=True, capture_output=True, timeout=SECONDS).stdout


@contextmanager
def restored(backup: bytes) -> Iterator[Indexed]:
    """Another database with the content of the dump, and an alias without an index."""
    with fresh_database(part_url("mysql")) as url:
        command = [*client_of("mariadb", url), urlsplit(url).path[1:]]
        subprocess.run(command, input=backup, check=True, capture_output=True, timeout=SECONDS)
        with closing(Indexed(url, part_url("opensearch"))) as stores:
            yield stores


@pytest.mark.parametrize("redis", ["wiped", "intact"])
def test_a_restore_issues_no_number_twice_and_loses_nothing_of_the_dump(redis: str) -> None:
    with ExitStack() as stack:
        drill = Drill(stack.enter_context(indexed()))
        stack.enter_context(closing(drill.sequencer))
        chats = [drill.new_chat() for _ in range(CHATS)]
        drill.process_batch()
        backup, newer, letter = lose_what_came_after_a_dump(drill, chats)
        issued_before = {chat: dict(numbers) for chat, numbers in drill.issued.items()}
        positions = {chat: drill.follow(chat, Since())[1] for chat in chats}

        drill.use(stack.enter_context(restored(backup)))
        restored_rows = drill.stored()
        assert len(restored_rows) > CHATS * WINDOW
        ceilings = drill.ceilings()
        assert newer not in ceilings
        assert all(max(issued_before[chat]) > ceilings[chat] for chat in chats), (
            "the dump has everything"
        )
        if redis == "wiped":
            drill.forget()

        assert advance_counters(drill.store, BY, NOW) == AdvanceResult(1, CHATS)
        drill.reindex()
        waiting = drill.waiting()
        assert waiting
        drill.process_batch()
        drill.queues.sent["messages"].append(letter)
        drill.process_batch()

        all_chats = [*chats, newer, drill.new_chat()]
        for _ in range(3 * WINDOW):
            for chat in all_chats:
                drill.post(chat)
            drill.process_batch()
        drill.process_batch()

        stored = drill.stored()
        assert restored_rows.items() <= stored.items()
        assert waiting.items() <= stored.items()
        for (chat, number), body in stored.items():
            assert drill.issued[chat][number] == body
        for chat in all_chats:
            skipped = [
                range(numbers.first, numbers.last + 1)
                for numbers in drill.store.leases.skipped_numbers(drill.token, chat)
            ]
            missing = {n for n in drill.issued[chat] if (chat, n) not in stored}
            assert all(any(number in numbers for numbers in skipped) for number in missing)
            assert drill.count_hits(chat) == len(drill.issued[chat]) - len(missing)
        for chat in chats:
            since = drill.issued[chat].keys() - issued_before[chat].keys()
            assert since <= drill.follow(chat, positions[chat])[0]
        assert Recount(drill.store.database).recount(drill.token) == []
        report = drill.verify()
        assert not report.differs, report


def lose_what_came_after_a_dump(drill: Drill, chats: list[int]) -> tuple[bytes, int, str]:
    """Dump under load, and go on. Returns the dump, a chat that is newer than it, and a dead letter.

    The letter holds the first message of that chat, of which everything else was persisted.
    """
    issued = drill.issued
    with going_on(*(partial(drill.post, chat) for chat in chats)):
        with going_on(drill.process_batch):
            wait_until(lambda: all(len(issued[chat]) > 2 * WINDOW for chat in chats))
            backup = dump(drill.stores.mysql_url)
            drill.forget()  # so that there are also leases that the dump does not have
            then = {chat: len(issued[chat]) for chat in chats}
            wait_until(lambda: all(len(issued[c]) > then[c] + SINCE_THE_DUMP for c in chats))
        newer = drill.new_chat()
        drill.post(newer)
        [letter] = drill.dead_letter(newer)
        with going_on(drill.process_batch):
            wait_until(lambda: newer in drill.ceilings())
            for _ in range(3 * WINDOW):
                drill.post(newer)
            wait_until(lambda: sum(c == newer for c, _ in drill.stored()) == 3 * WINDOW)
        wait_until(lambda: bool(drill.queues.sent["messages"]))
    return backup, newer, letter
