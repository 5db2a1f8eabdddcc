"""How far one worker process lags behind at a steady load of 70 % of its capacity."""

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
from chalicelib.domain.models import AppToken
from chalicelib.domain.search import Query, parse_query
from tests.bench.api import MESSAGES
from tests.bench.harness import Harness
from tests.bench.measure import plain
from tests.bench.pipeline import Pipeline, delete, invoke, receive
from tests.bench.rows import Row

BATCH, BATCHES, CHATS = 20, 400, 20
SHARE, SECONDS, PROBE_SECONDS = 0.7, 20.0, 1.0
PAUSE_SECONDS = 0.002
IDLE_SECONDS = 1.0


def lag(harness: Harness) -> Iterator[Row]:
    """Post batches of 20 messages at even intervals. Once a second, search for one until it is found."""
    pipeline = Pipeline(harness, CHATS)
    index = OpenSearchIndex(harness.opensearch_url)
    posts = [_post(pipeline, chat) for chat in pipeline.chats]
    for batch in range(BATCHES):
        posts[batch % CHATS]("backlog")
    with _worker(harness) as worker:
        first, last = worker.recv()
        capacity = BATCHES * BATCH / (last - first)
        yield plain("lag, capacity of one worker process", "messages/s", [capacity])
        pause, search_lags, probe = BATCH / (capacity * SHARE), list[float](), ""
        began, sent, probe_sent_at = time.time(), 0, 0.0
        while time.time() < began + SECONDS or probe:
            now = time.time()
            if now >= began + sent * pause and now < began + SECONDS:
                if not probe and now - probe_sent_at >= PROBE_SECONDS:
                    probe, probe_sent_at = f"probe{uuid4().hex}", now
                    posts[sent % CHATS](probe)
                else:
                    posts[sent % CHATS]("steady")
                sent += 1
            elif probe and _is_found(index, pipeline.api.token, probe):
                search_lags.append(time.time() - probe_sent_at)
                probe = ""
            else:
                time.sleep(PAUSE_SECONDS)
        worker.send("stop")
        persist_lags = [lag for at, lag in worker.recv() if at > began + 1]
    yield plain("lag, message rate", "messages/s", [sent * BATCH / SECONDS])
    yield from _percentiles("lag, accepted to persisted", persist_lags)
    yield from _percentiles("lag, accepted to searchable", search_lags)


def _percentiles(name: str, seconds: Sequence[float]) -> Iterator[Row]:
    yield plain(f"{name}, p50", "s", [median(seconds)])
    yield plain(f"{name}, p99", "s", [quantiles(seconds, n=100, method="inclusive")[98]])


def _post(pipeline: Pipeline, chat: int) -> Callable[[str], None]:
    def post(text: str) -> None:
        batch = {"messages": [{"body": f"{text} {n}", "sender": "ann"} for n in range(BATCH)]}
        pipeline.api.send(pipeline.api.post(MESSAGES + "/batch", batch, chat))

    return post


def _is_found(index: OpenSearchIndex, token: str, text: str) -> bool:
    query = Query(token=AppToken(token), chat=None, terms=parse_query(text), limit=1)
    return bool(index.search(query).hits)


@contextmanager
def _worker(harness: Harness) -> Iterator["Connection[Any, Any]"]:
    """A process that drains both queues in turn, and the pipe to it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(harness.description, theirs))
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


def _work(description: Path, pipe: "Connection[Any, Any]") -> None:
    """Send the times of the first and the last batch when idle. After "stop", send the lag of each record."""
    with Path("/dev/null").open("w") as silent, redirect_stdout(silent):
        harness = Harness(description)
        lags: list[tuple[float, float]] = []
        first, last, idle_since = 0.0, 0.0, None
        is_reported = False
        while not pipe.poll():
            busy = False
            for queue in ("messages", "search"):
                event = receive(harness, queue)
                if event is None:
                    continue
                first, busy = first or time.time(), True
                invoke(queue, event)
                delete(harness, queue, event)
                last = time.time()
                if queue == "messages":
                    lags += [(last, last - sent) for sent in _sent(event)]
            if busy:
                idle_since = None
            else:
                time.sleep(PAUSE_SECONDS)
                idle_since = idle_since or time.time()
                if first and not is_reported and time.time() - idle_since > IDLE_SECONDS:
                    is_reported = True
                    pipe.send((first, last))
        pipe.recv()
        pipe.send(lags)


def _sent(event: dict[str, Any]) -> Iterator[float]:
    for record in event["Records"]:
        yield int(record["attributes"]["SentTimestamp"]) / 1000
