"""Clients at a steady rate, each tenant's in a process of its own, and programs that only burn processors."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import msgspec

from tests.bench.processes import Event, Reply, send

_CONTEXT = get_context("spawn")
_PROCESSORS = Path("/proc/stat")
_BURNERS = 4
_BURST_SECONDS = 0.002


class Load(msgspec.Struct, frozen=True):
    """What a tenant's clients send: `requests` makes the next event, and gets each reply."""

    requests: Callable[..., "Requests"]
    arguments: tuple[Any, ...]
    per_second: float
    connections: int
    seconds: float


class Requests:
    """Makes and sends the requests of one load. Several threads use it."""

    def send(self, address: str, number: int) -> Reply:
        """Send the request with this number, which counts from 0."""
        return send(address, json.dumps(self.next_event(number)).encode())

    def next_event(self, number: int) -> Event:
        """The event of the request with this number."""
        raise NotImplementedError


class Outcome(msgspec.Struct):
    """What the clients saw. The seconds of a request count from when it was due."""

    seconds: list[float]
    replies: Counter[str]
    busy: float

    @property
    def served(self) -> int:
        return sum(n for reply, n in self.replies.items() if reply.startswith("2"))


class Clients:
    """The running clients of one tenant."""

    def __init__(self, address: str, load: Load) -> None:
        self._ours, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_run, args=(theirs, address, load), daemon=True)
        self._process.start()
        assert self._ours.recv() == "ready"

    def start(self) -> None:
        self._ours.send("start")

    def outcome(self) -> Outcome:
        """Wait until the last request has its response."""
        outcome: Outcome = self._ours.recv()
        self._process.join()
        return outcome

    def stop(self) -> None:
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


@contextmanager
def clients(address: str, load: Load) -> Iterator[Clients]:
    """Clients that are ready to start."""
    running = Clients(address, load)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def burning(processors: float) -> Iterator[None]:
    """Use so many processors, in short bursts of several processes, while the context is open."""
    share = min(max(processors / _BURNERS, 0.001), 0.999)
    processes = [
        _CONTEXT.Process(target=_burn, args=(share,), daemon=True) for _ in range(_BURNERS)
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def busy_and_idle() -> tuple[int, int]:
    """The time since the start of the machine in which its processors were busy, and idle."""
    words = _PROCESSORS.read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, words[:8])
    return user + nice + system + irq + softirq + steal, idle + iowait


def _run(pipe: Any, address: str, load: Load) -> None:
    requests = load.requests(*load.arguments)
    pipe.send("ready")
    pipe.recv()
    pipe.send(_pace(address, requests, load))


def _pace(address: str, requests: Requests, load: Load) -> Outcome:
    numbers, lock = count(), Lock()
    outcome = Outcome([], Counter(), 0.0)
    before = busy_and_idle()
    began = time.perf_counter()
    most = int(load.per_second * load.seconds)

    def connection() -> None:
        while True:
            with lock:
                number = next(numbers)
            due = began + number / load.per_second
            if number >= most or time.perf_counter() > began + load.seconds:
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            reply = requests.send(address, number)
            took = time.perf_counter() - due
            with lock:
                outcome.seconds.append(took)
                outcome.replies[_kind(reply)] += 1

    threads = [Thread(target=connection) for _ in range(load.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    busy, idle = (after - b for after, b in zip(busy_and_idle(), before, strict=True))
    outcome.busy = busy / (busy + idle)
    return outcome


def _kind(reply: Reply) -> str:
    """The status, and the code of a problem."""
    status = str(reply["statusCode"])
    if status.startswith("2"):
        return status
    code = str(json.loads(reply["body"]).get("type", "")).rpartition(":")[2]
    return f"{status} {code}"


def _burn(share: float) -> None:
    """Be busy for this share of the time. Two bursts are apart by a random time."""
    while True:
        until = time.process_time() + _BURST_SECONDS
        while time.process_time() < until:
            pass
        time.sleep(random.expovariate(1 / (_BURST_SECONDS * (1 - share) / share)))
