"""How far behind one worker process is, under a steady flow at 70 % of what it can do."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

from chalicelib.adapters.opensearch.index import OpenSearchIndex
from chalicelib.domain.search import Query, parse_query
from tests.bench.api import MESSAGES
from tests.bench.flow import Flow, done, enqueue, take
from tests.bench.ground import Ground
from tests.bench.measure import plain
from tests.bench.rows import Row

BATCH, BATCHES, CHATS = 20, 400, 20
SHARE, SECONDS, PROBE_SECONDS = 0.7, 20.0, 1.0
PAUSE_SECONDS = 0.002
IDLE_SECONDS = 1.0


def lag(ground: Ground) -> Iterator[Row]:
    """Batches of 20 messages come at even distances; one of them a second is looked for until it is found."""
    flow = Flow(ground, CHATS)
    index = OpenSearchIndex(ground.opensearch_url)
    posts = [_post(flow, chat) for chat in flow.chats]
    for at in range(BATCHES):
        posts[at % CHATS]("backlog")
    with _worker(ground) as worker:
        first, last = worker.recv()
        capacity = BATCHES * BATCH / (last - first)
        yield plain("lag, capacity of one worker process", "messages/s", [capacity])
        pause, found, looked_for = BATCH / (capacity * SHARE), [], ""
        began, sent, marked = time.time(), 0, 0.0
        while time.time() < began + SECONDS or looked_for:
            now = time.time()
            if now >= began + sent * pause and now < began + SECONDS:
                if not looked_for and now - marked >= PROBE_SECONDS:
                    looked_for, marked = f"probe{uuid4().hex}", now
                    posts[sent % CHATS](looked_for)
                else:
                    posts[sent % CHATS]("steady")
                sent += 1
            elif looked_for and _is_found(index, flow.api.token, looked_for):
                found.append(time.time() - marked)
                looked_for = ""
            else:
                time.sleep(PAUSE_SECONDS)
        worker.send("stop")
        persisted = [lag for at, lag in worker.recv() if at > began + 1]
    yield plain("lag, flow", "messages/s", [sent * BATCH / SECONDS])
    yield from _told("lag, accepted to persisted", persisted)
    yield from _told("lag, accepted to searchable", found)


def _told(name: str, seconds: Sequence[float]) -> Iterator[Row]:
    yield plain(f"{name}, p50", "s", [median(seconds)])
    yield plain(f"{name}, p99", "s", [quantiles(seconds, n=100, method="inclusive")[98]])


def _post(flow: Flow, chat: int) -> Callable[[str], None]:
    def post(text: str) -> None:
        batch = {"messages": [{"body": f"{text} {n}", "sender": "ann"} for n in range(BATCH)]}
        flow.api.ask(flow.api.post(MESSAGES + "/batch", batch, chat))

    return post


def _is_found(index: OpenSearchIndex, token: str, text: str) -> bool:
    query = Query(token=token, chat=None, terms=parse_query(text), limit=1)
    return bool(index.search(query).hits)


@contextmanager
def _worker(ground: Ground) -> Iterator["Connection[Any, Any]"]:
    """A process that works off both queues by turns, and the way to it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(ground.description, theirs))
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


def _work(description: Path, pipe: "Connection[Any, Any]") -> None:
    """Says when it began and when nothing was left; then, when told to stop, the lag of each record."""
    with Path("/dev/null").open("w") as silent, redirect_stdout(silent):
        ground = Ground(description)
        lags: list[tuple[float, float]] = []
        first, last, idle_since = 0.0, 0.0, None
        told = False
        while not pipe.poll():
            busy = False
            for queue in ("messages", "search"):
                event = take(ground, queue)
                if event is None:
                    continue
                first, busy = first or time.time(), True
                enqueue(queue, event)
                done(ground, queue, event)
                last = time.time()
                if queue == "messages":
                    lags += [(last, last - sent) for sent in _sent(event)]
            if busy:
                idle_since = None
            else:
                time.sleep(PAUSE_SECONDS)
                idle_since = idle_since or time.time()
                if first and not told and time.time() - idle_since > IDLE_SECONDS:
                    told = True
                    pipe.send((first, last))
        pipe.recv()
        pipe.send(lags)


def _sent(event: dict[str, Any]) -> Iterator[float]:
    for record in event["Records"]:
        yield int(record["attributes"]["SentTimestamp"]) / 1000
