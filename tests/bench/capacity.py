"""Each function at its largest batch, in a new process: what it uses of its memory and of its time-out.

- Memory: the peak of the process (`VmHWM`), as a share of what `.chalice/config.json` gives it.
- Time: (CPU seconds ÷ its share of a processor) + four times its waits, as a share of its time-out. The
  function's own deadline runs by this time, so a worker stops as it would on AWS.

Each share should be at most 70 %. A third row says how many records a worker left for the next invocation.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import redis

from chalicelib.adapters.opensearch.index import OpenSearchIndex
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Counter
from chalicelib.domain.limits import MAX_BATCH_MESSAGES, MAX_PAGE_ITEMS, MAX_REQUEST_BYTES
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from chalicelib.domain.queue_records import (
    ChatsRecord,
    Document,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import assign_message_numbers
from infra.local.paths import ROOT
from tests.bench.harness import LEASE_WINDOW, Harness
from tests.bench.measure import plain
from tests.bench.page import _fill
from tests.bench.pipeline import NOW, Pipeline, connection_to, drain, event_of
from tests.bench.rows import Row

GOAL = 0.7
# One invocation gets at most so many records, and so many bytes.
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
MAX_RECORDS, MAX_EVENT_BYTES = 500, 6_000_000
EMOJI, SMALL = "😀" * 20_000, "hello"
CHATS = 20
WORKERS, SCHEDULES = "chalicelib.entrypoints.workers", "chalicelib.entrypoints.schedules"
# Twenty phrases of two characters, in a query of at most 500 characters.
PHRASES = [chr(0x4E00 + 2 * n) + chr(0x4E01 + 2 * n) for n in range(20)]

Event = dict[str, Any]


class Case(msgspec.Struct, frozen=True):
    """An invocation: the function, the module that Lambda loads for it, and its event."""

    name: str
    module: str
    function: str
    event: Event


def capacity(harness: Harness) -> Iterator[Row]:
    """Two rows for each function and event: the share of its memory, and of its time-out."""
    ground = Ground(harness)
    for make in CASES:
        case = make(ground)
        memory_mb, timeout_seconds = _configured(case.function)
        figures = _invoke(case, memory_mb, timeout_seconds)
        name = f"capacity, {case.name}"
        yield plain(f"{name}, memory", "of it", [figures["memory_mb"] / memory_mb], most=GOAL)
        yield plain(f"{name}, time", "of it", [figures["seconds"] / timeout_seconds], most=GOAL)
        if case.module == WORKERS:
            left = len(figures["response"]["batchItemFailures"]) / len(case.event["Records"])
            yield plain(f"{name}, left", "of the records", [left])
        harness.purge_queues()


class Ground:
    """An application with chats, and a connection to each store."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.pipeline = Pipeline(harness, CHATS)
        self.ports = self.pipeline.ports
        self.api = self.pipeline.api
        self.token = AppToken(self.api.token)
        self.tenant = Tenant(self.token, 1)
        self.chats = [ChatNumber(chat) for chat in self.pipeline.chats]
        self.connection = connection_to(harness)
        self.chat_ids = self.pipeline.chat_ids(self.connection)
        self.redis = redis.Redis.from_url(harness.redis_url)
        self.opensearch_url = harness.opensearch_url

    def records(self, body: str, count: int) -> Iterator[MessagesRecord]:
        """Endless records of so many accepted messages each. They stay pending in Redis."""
        draft = Message(
            number=MessageNumber(0), revision=Revision(0), body=body, created_at=Timestamp(NOW)
        )
        while True:
            for chat in self.chats:
                numbered = assign_message_numbers(
                    self.ports, self.tenant, chat, [draft] * count, None
                )
                for record in numbered.records:
                    assert isinstance(record, MessagesRecord)
                    yield record

    def documents(self, body: str, count: int) -> Iterator[DocumentsRecord]:
        """Endless records of documents."""
        number = 0
        while True:
            documents = [
                Document(
                    token=self.token,
                    chat=self.chats[0],
                    message=Message(
                        number=MessageNumber(number + n),
                        revision=Revision(1),
                        body=body,
                        created_at=Timestamp(NOW),
                    ),
                )
                for n in range(1, count + 1)
            ]
            number += count
            now = rfc3339(self.ports.clock.now_ms())
            yield DocumentsRecord(documents=documents, stored_at=now)


def largest_event(records: Iterable[Any]) -> Event:
    """The event with as many of these records as one invocation gets."""
    chosen: list[Any] = []
    size = 0
    for record in records:
        # The body is text inside of JSON.
        size += len(json.dumps(msgspec.json.encode(record).decode(), ensure_ascii=False).encode())
        if len(chosen) == MAX_RECORDS or size > MAX_EVENT_BYTES:
            break
        chosen.append(record)
    return event_of(chosen)


def _worker(name: str, function: str, records: Callable[[Ground], Iterable[Any]]) -> Any:
    return lambda ground: Case(name, WORKERS, function, largest_event(records(ground)))


def _inbox(ground: Ground, body: str) -> Iterator[dict[str, Any]]:
    for n in range(MAX_RECORDS):
        yield {
            "v": 1,
            "type": "message.create",
            "token": ground.token,
            "chat": ground.chats[n % CHATS],
            "body": body,
            "key": f"key-{len(body)}-{n}",
        }


def _chats(ground: Ground) -> Iterator[dict[str, Any]]:
    """Each record creates a chat with the longest title and much metadata."""
    lease = {"holder": "bench", "epoch": 1, "ceiling": LEASE_WINDOW}
    for n in range(1, MAX_RECORDS + 1):
        chat = {
            "number": CHATS + n,
            "revision": 1,
            "title": "😀" * 255,
            "metadata": {"text": "é" * 2_000},
            "created_at": NOW,
            "messages_lease": lease,
        }
        yield {"v": 1, "type": "chats", "token": ground.token, "lease": lease, "chats": [chat]}


def _removals(ground: Ground) -> Iterator[PurgeRecord]:
    """Removals of chats of this application, and of others that have none."""
    for n in range(MAX_RECORDS):
        token = ground.token if n % 2 else AppToken(f"{n:030x}")
        yield PurgeRecord(token=token, chat=ChatNumber(1_000 + n))


def _largest_batch(ground: Ground) -> Case:
    body = "é" * (MAX_REQUEST_BYTES // MAX_BATCH_MESSAGES // 2 - 20)
    messages = [{"body": body}] * MAX_BATCH_MESSAGES
    route = "/applications/{token}/chats/{chat}/messages/batch"
    event = ground.api.post(route, {"messages": messages}, ground.chats[0])
    event["body"] = json.dumps({"messages": messages}, ensure_ascii=False)
    assert len(event["body"].encode()) <= MAX_REQUEST_BYTES
    return Case("largest batch", "app", "app", event)


def _largest_page(ground: Ground) -> Case:
    chat = ChatNumber(ground.api.new_chat())
    lease = msgspec.convert({"holder": "bench", "epoch": 1, "ceiling": LEASE_WINDOW}, Any)
    messages = [
        {"number": n, "revision": n, "body": EMOJI, "created_at": NOW}
        for n in range(1, MAX_PAGE_ITEMS + 1)
    ]
    record = {"v": 1, "type": "messages", "token": ground.token, "chat": chat, "lease": lease}
    stored = msgspec.convert(record | {"messages": messages}, MessagesRecord)
    ground.ports.store.persistence.persist_messages([stored], LEASE_WINDOW)
    route = "/applications/{token}/chats/{chat}/messages"
    return Case("largest page", "app", "app", ground.api.get(route, chat, limit="100"))


def _worst_search(ground: Ground) -> Case:
    """Each of a hundred long messages has all twenty phrases of the query, at its end."""
    chat = ChatNumber(ground.api.new_chat())
    index = OpenSearchIndex(ground.opensearch_url)
    filling = "".join(chr(0x5200 + n * 37 % 4_000) for n in range(19_900))
    body = filling + " ".join(PHRASES)
    for n in range(1, MAX_PAGE_ITEMS + 1):
        message = Message(
            number=MessageNumber(n), revision=Revision(1), body=body, created_at=Timestamp(NOW)
        )
        index.index([Document(token=ground.token, chat=chat, message=message)])
    index.refresh()
    query = " ".join(f'"{phrase}"' for phrase in PHRASES)
    route = "/applications/{token}/chats/{chat}/messages/search"
    return Case("worst search", "app", "app", ground.api.get(route, chat, q=query, limit="100"))


def _overdue(ground: Ground) -> Case:
    """A thousand long messages that no worker got, all overdue."""
    numbers: dict[Counter, dict[int, int]] = {}
    for record, _ in zip(ground.records(EMOJI, 10), range(100), strict=False):
        counter = Counter(record.token, record.chat)
        numbers.setdefault(counter, {}).update({m.number: 1 for m in record.messages})
    ground.ports.sequencer.postpone(numbers)
    return Case("repair of long messages", SCHEDULES, "repair_pending", _minute())


def _deleted(ground: Ground) -> Case:
    """A deleted chat of 200,000 messages."""
    chat = ChatNumber(ground.api.new_chat())
    lease = {"holder": "bench", "epoch": 1, "ceiling": LEASE_WINDOW}
    deletion = {"number": chat, "revision": 2**40, "created_at": NOW, "deleted_at": NOW}
    record = {"v": 1, "type": "chats", "token": ground.token, "lease": lease}
    created = msgspec.convert(
        record | {"chats": [deletion | {"deleted_at": None, "revision": 1}]}, ChatsRecord
    )
    ground.ports.store.persistence.persist_chats([created], LEASE_WINDOW)
    ids = ground.pipeline.chat_ids(ground.connection)
    _fill(ground.connection, ids[chat], 200_000)
    deleted = msgspec.convert(record | {"chats": [deletion]}, ChatsRecord)
    ground.ports.store.persistence.persist_chats([deleted], LEASE_WINDOW)
    return Case("purge of a large chat", SCHEDULES, "purge_deleted", _minute())


def _idle(ground: Ground) -> Case:
    """Two thousand chats whose leases have been idle for two hours."""
    idle_since = int(time.time() * 1000) - 2 * 3600_000
    for _ in range(2_000):
        ground.api.new_chat()
    drain(ground.harness, "chats")
    key = f"{{{ground.token}}}:quiet"
    members: list[Any] = ground.redis.zrange(key, 0, -1)
    if members:
        ground.redis.zadd(key, dict.fromkeys(members, idle_since), xx=True)
    return Case("release of idle leases", SCHEDULES, "release_idle_leases", _minute())


def _backlog(_: Ground) -> Case:
    return Case("measurement of the backlog", SCHEDULES, "measure_backlog", _minute())


def _minute() -> Event:
    """The event of a schedule."""
    return {
        "version": "0",
        "id": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "2026-09-21T14:13:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {},
    }


CASES: list[Callable[[Ground], Case]] = [
    _largest_batch,
    _largest_page,
    _worst_search,
    _worker("inbox, many", "accept_inbox", lambda ground: _inbox(ground, SMALL)),
    _worker("inbox, large", "accept_inbox", lambda ground: _inbox(ground, "😀" * 2_900)),
    _worker("chats", "persist_chats", _chats),
    _worker("messages, many", "persist_messages", lambda ground: ground.records(SMALL, 500)),
    _worker("messages, large", "persist_messages", lambda ground: ground.records(EMOJI, 1)),
    _worker("documents, many", "index_messages", lambda ground: ground.documents(SMALL, 250)),
    _worker("documents, large", "index_messages", lambda ground: ground.documents(EMOJI, 10)),
    _worker("removals", "index_messages", _removals),
    _overdue,
    _deleted,
    _idle,
    _backlog,
]


def _configured(function: str) -> tuple[int, int]:
    """Memory in MB and time-out in seconds of a function."""
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    name = "api_handler" if function == "app" else function
    own = config["lambda_functions"][name]
    return (
        own.get("lambda_memory_size", config["lambda_memory_size"]),
        own.get("lambda_timeout", config["lambda_timeout"]),
    )


def _invoke(case: Case, memory_mb: int, timeout_seconds: int) -> dict[str, Any]:
    """The figures of one invocation. An error ends the benchmark."""
    with TemporaryDirectory() as directory:
        event_file = Path(directory) / "event.json"
        event_file.write_text(json.dumps(case.event, ensure_ascii=False))
        program = [sys.executable, "-m", "tests.bench.one_invocation", case.module, case.function]
        arguments = [str(event_file), str(memory_mb), str(timeout_seconds)]
        done = subprocess.run(
            [*program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, f"{case.name}: {done.stderr[-2_000:]}"
    figures: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    response = figures["response"]
    assert response.get("statusCode", 200) < 300, f"{case.name}: {response}"
    if case.function in ("repair_pending", "release_idle_leases"):
        assert response["count"] > 0, f"{case.name}: nothing was done"
    return figures
