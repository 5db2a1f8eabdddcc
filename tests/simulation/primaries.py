"""The Redis servers of a run, and everything that can happen to their data."""

import random
from collections import deque

from chalicelib.usecases.ports import Clock
from tests.fakes.redis_server import Dataset, RedisServer
from tests.invariants.history import TWO_PRIMARIES, History, Loss
from tests.simulation.processes import Processes

_SNAPSHOTS = 8


class Primaries:
    """One primary, or two servers that both believe they are the primary."""

    def __init__(self, clock: Clock, processes: Processes, history: History) -> None:
        self._clock, self._processes, self._history = clock, processes, history
        self._incarnations = random.Random(1)
        self.servers = [self._server(Dataset())]
        self._snapshots: deque[Dataset] = deque([Dataset()], _SNAPSHOTS)
        self._split: Loss | None = None
        # True: Redis itself never loses an acknowledged write, whichever server takes over.
        self.is_durable = False

    def server(self) -> RedisServer:
        """The server that the running process is connected to."""
        process = self._processes.current
        return self.servers[process.side % len(self.servers) if process else 0]

    def take_snapshot(self) -> None:
        """Copy the data. A lagging replica or an old backup has one of the last copies."""
        self._snapshots.append(self.servers[0].dataset.copy())

    def wipe(self) -> None:
        """FLUSHALL."""
        self._history.record_loss("wiped")
        self.servers[0].wipe()

    def restart(self) -> None:
        """The server restarts with its data, as another incarnation."""
        if not self.is_durable:
            self._history.record_loss("restarted")
        self.servers[0].start()

    def fail_over(self, age: int) -> None:
        """A lagging replica, or an old snapshot, becomes the primary."""
        if not self.is_durable:
            self._history.record_loss("failed over")
        dataset = self.servers[0].dataset.copy() if self.is_durable else self._old(age)
        self.servers[0] = self._server(dataset)

    def split(self, age: int) -> bool:
        """A lagging replica becomes a primary while the old primary still serves some processes."""
        if self._split or self.is_durable:
            return False
        self._split = self._history.record_loss(TWO_PRIMARIES, lasting=True)
        self.servers.append(self._server(self._old(age)))
        return True

    def heal(self, which: int) -> bool:
        """One of two primaries remains. The data that only the other one had is lost."""
        if not self._split:
            return False
        self.servers = [self.servers[which % 2]]
        self._history.end_loss(self._split)
        self._split = None
        return True

    def _old(self, age: int) -> Dataset:
        return self._snapshots[-1 - age % len(self._snapshots)].copy()

    def _server(self, dataset: Dataset) -> RedisServer:
        return RedisServer(self._clock, dataset, self._incarnations)
