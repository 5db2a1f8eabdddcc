"""A tenant with a small load beside a tenant that floods. They share the stores and the queues.

Each tenant has its own process, as on AWS, where two events never share a process.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles

from tests.bench.accept import BATCH, MESSAGE, chats_of
from tests.bench.api import MESSAGES, Api
from tests.bench.harness import Harness
from tests.bench.measure import compared, plain
from tests.bench.rows import Row

SECONDS, PER_SECOND, ROUNDS = 5.0, 20, 4
# The number of pending messages is limited, and no worker persists them here.
BATCHES_OF_A_CHAT, BATCHES_OF_AN_APPLICATION = 100, 1_500


def noisy_neighbour(harness: Harness) -> Iterator[Row]:
    """Twenty messages a second of one tenant, alone and beside another that posts batches of 100, in turn."""
    api = Api(harness)
    chats = chats_of(api, int(SECONDS) * PER_SECOND)
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        alone += _write(api, chats)
        with _flood(harness):
            beside += _write(api, chats)
    yield compared("noisy_neighbour, beside a flood", "ms", beside, alone)
    for name, took in (("alone", alone), ("beside a flood", beside)):
        yield plain(f"noisy_neighbour, {name}, p99", "ms", [quantiles(took, n=100)[98]])


def _write(api: Api, chats: Iterator[int]) -> list[float]:
    """The milliseconds of each message."""
    took = []
    began = time.perf_counter()
    for number in range(int(SECONDS * PER_SECOND)):
        time.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        post = api.post(MESSAGES, MESSAGE, next(chats))
        sent_at = time.perf_counter()
        api.send(post)
        took.append((time.perf_counter() - sent_at) * 1000)
    return took


@contextmanager
def _flood(harness: Harness) -> Iterator[None]:
    context = get_context("spawn")
    flooding, stopping = context.Event(), context.Event()
    process = context.Process(target=_pour, args=(harness.description, flooding, stopping))
    process.start()
    try:
        assert flooding.wait(30)
        yield
    finally:
        stopping.set()
        process.join()


def _pour(description: Path, flooding: Event, stopping: Event) -> None:
    with Path("/dev/null").open("w") as silent, redirect_stdout(silent):
        harness = Harness(description)
        while not stopping.is_set():
            api = Api(harness)
            chats = chats_of(api, BATCHES_OF_A_CHAT)
            for _ in range(BATCHES_OF_AN_APPLICATION):
                api.send(
                    api.post(MESSAGES + "/batch", {"messages": [MESSAGE] * BATCH}, next(chats))
                )
                flooding.set()
                if stopping.is_set():
                    break
