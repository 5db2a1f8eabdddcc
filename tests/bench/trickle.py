"""One tenant that writes now and then, beside one that floods: what they share are the stores and queues.

Each has a process of its own, as on AWS, where no two events share one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles

from tests.bench.accept import BATCH, ONE, chats_of
from tests.bench.api import MESSAGES, Api
from tests.bench.ground import Ground
from tests.bench.measure import compared, plain
from tests.bench.rows import Row

SECONDS, A_SECOND, ROUNDS = 5.0, 20, 4
# What is pending has a limit, and nobody persists it here.
BATCHES_OF_A_CHAT, BATCHES_OF_AN_APPLICATION = 100, 1_500


def trickle(ground: Ground) -> Iterator[Row]:
    """Twenty messages a second of a tenant, alone and beside batches of 100 without a pause, by turns."""
    api = Api(ground)
    chats = chats_of(api, int(SECONDS) * A_SECOND)
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        alone += _write(api, chats)
        with _flood(ground):
            beside += _write(api, chats)
    yield compared("trickle, beside a flood", "ms", beside, alone)
    for name, took in (("alone", alone), ("beside a flood", beside)):
        yield plain(f"trickle, {name}, p99", "ms", [quantiles(took, n=100)[98]])


def _write(api: Api, chats: Iterator[int]) -> list[float]:
    """Milliseconds that each message took."""
    took = []
    began = time.perf_counter()
    for number in range(int(SECONDS * A_SECOND)):
        time.sleep(max(0.0, began + number / A_SECOND - time.perf_counter()))
        post = api.post(MESSAGES, ONE, next(chats))
        asked = time.perf_counter()
        api.ask(post)
        took.append((time.perf_counter() - asked) * 1000)
    return took


@contextmanager
def _flood(ground: Ground) -> Iterator[None]:
    context = get_context("spawn")
    flooding, enough = context.Event(), context.Event()
    process = context.Process(target=_pour, args=(ground.description, flooding, enough))
    process.start()
    try:
        assert flooding.wait(30)
        yield
    finally:
        enough.set()
        process.join()


def _pour(description: Path, flooding: Event, enough: Event) -> None:
    with Path("/dev/null").open("w") as silent, redirect_stdout(silent):
        ground = Ground(description)
        while not enough.is_set():
            api = Api(ground)
            chats = chats_of(api, BATCHES_OF_A_CHAT)
            for _ in range(BATCHES_OF_AN_APPLICATION):
                api.ask(api.post(MESSAGES + "/batch", {"messages": [ONE] * BATCH}, next(chats)))
                flooding.set()
                if enough.is_set():
                    break
