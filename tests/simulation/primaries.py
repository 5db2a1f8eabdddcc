"""The Redis that processes talk to, and all that can become of its memory."""

import random
from collections import deque

from chalicelib.usecases.ports import Clock
from tests.fakes.redis_server import Memory, RedisServer
from tests.promises.history import TWO_PRIMARIES, History, Loss
from tests.simulation.processes import Processes

_SNAPSHOTS = 8


class Primaries:
    """One server, or two that both believe they are the primary."""

    def __init__(self, clock: Clock, processes: Processes, history: History) -> None:
        self._clock, self._processes, self._history = clock, processes, history
        self._names = random.Random(1)
        self.servers = [self._server(Memory())]
        self._snapshots: deque[Memory] = deque([Memory()], _SNAPSHOTS)
        self._split: Loss | None = None
        # The store itself keeps every acknowledged write: what comes after it has all of them.
        self.keeps_writes = False

    def server(self) -> RedisServer:
        """The one that the running process is connected to."""
        process = self._processes.current
        return self.servers[process.side % len(self.servers) if process else 0]

    def keep(self) -> None:
        """Take a snapshot, as a replica lags and a backup is old."""
        self._snapshots.append(self.servers[0].memory.copy())

    def wipe(self) -> None:
        """FLUSHALL."""
        self._history.lost("wiped")
        self.servers[0].wipe()

    def restart(self) -> None:
        """The server comes back with what it had; its memory has another name."""
        if not self.keeps_writes:
            self._history.lost("started anew")
        self.servers[0].start()

    def fail_over(self, age: int) -> None:
        """A replica that lags, or an old snapshot, takes the place of the primary."""
        if not self.keeps_writes:
            self._history.lost("failed over")
        memory = self.servers[0].memory.copy() if self.keeps_writes else self._old(age)
        self.servers[0] = self._server(memory)

    def split(self, age: int) -> bool:
        """A replica that lags becomes a primary while the old one still serves some."""
        if self._split or self.keeps_writes:
            return False
        self._split = self._history.lost(TWO_PRIMARIES, lasting=True)
        self.servers.append(self._server(self._old(age)))
        return True

    def heal(self, which: int) -> bool:
        """One of two primaries remains; what only the other one knew is lost."""
        if not self._split:
            return False
        self.servers = [self.servers[which % 2]]
        self._history.over(self._split)
        self._split = None
        return True

    def _old(self, age: int) -> Memory:
        return self._snapshots[-1 - age % len(self._snapshots)].copy()

    def _server(self, memory: Memory) -> RedisServer:
        return RedisServer(self._clock, memory, self._names)
