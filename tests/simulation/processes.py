"""Processes as greenlets: one runs at a time, and it gives way only when it calls a port."""

import random
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet

# If all processes sleep, time jumps to the first that wakes within this time. Longer pauses go on.
_SHORT_WAIT_MS = 1_000
_SLICE_MS = 1


class EndlessError(Exception):
    """A run takes more slices than any run should."""


class Process:
    """A running function; `at` is the call that it is in. A killed process never runs again."""

    def __init__(self, number: int, name: str, green: greenlet, side: int) -> None:
        self.number = number
        self.name = name
        self.green = green
        self.side = side
        self.wakes_at = 0
        self.at = "its first call"


class Processes:
    """All running processes, and the clock that they share."""

    def __init__(self, now_ms: int, most_slices: int) -> None:
        self.now = now_ms
        self.slices = 0
        self.alive: list[Process] = []
        self._most_slices = most_slices
        self._killed: list[Process] = []
        self._main = getcurrent()
        self._by_green: dict[greenlet, Process] = {}
        self._count = 0

    @property
    def current(self) -> Process | None:
        """The running process, or None if the simulation itself runs."""
        return self._by_green.get(getcurrent())

    def start(self, name: str, side: int, work: Callable[[], None]) -> Process:
        self._count += 1
        green = greenlet(work)
        process = Process(self._count, name, green, side)
        self._by_green[green] = process
        self.alive.append(process)
        return process

    def give_way(self, at: str) -> Process | None:
        """Let other processes run. Every call of a port is such a switch point.

        A call of the simulation itself takes time too. Otherwise a loop with a timeout would never end.
        """
        process = self._by_green.get(getcurrent())
        if process is None:
            self.now += _SLICE_MS
        else:
            process.at = at
            self._main.switch()
        return process

    def wait(self, ms: int) -> None:
        process = self._by_green.get(getcurrent())
        if process is None:
            self.now += ms
            return
        process.wakes_at = self.now + ms
        self._main.switch()

    def run(self, slices: int, chance: random.Random) -> None:
        """Run so many slices, or fewer if all processes sleep for longer than a short wait."""
        for _ in range(slices):
            awake = self._awake(_SHORT_WAIT_MS)
            if not awake:
                return
            self._slice(chance.choice(awake))

    def run_all(self, chance: random.Random) -> None:
        """Run until every process has ended, however long it sleeps."""
        while self.alive:
            self._slice(chance.choice(self._awake(2**60)))

    def kill(self, process: Process) -> None:
        # The list holds a reference: a greenlet that is garbage-collected runs its `finally` blocks.
        self.alive.remove(process)
        self._killed.append(process)

    def end(self) -> None:
        """Kill the running process. This does not return."""
        process = self.current
        assert process is not None
        self.kill(process)
        self._main.switch()

    def pause(self, process: Process, ms: int) -> None:
        process.wakes_at = self.now + ms

    def close(self) -> None:
        """End all greenlets. Close the ports first."""
        for process in [*self._killed, *self.alive]:
            if process.green:
                process.green.throw(GreenletExit)

    def _awake(self, most_wait_ms: int) -> list[Process]:
        awake = [process for process in self.alive if process.wakes_at <= self.now]
        if not awake and self.alive:
            soonest = min(process.wakes_at for process in self.alive)
            if soonest - self.now <= most_wait_ms:
                self.now = soonest
                return [process for process in self.alive if process.wakes_at <= soonest]
        return awake

    def _slice(self, process: Process) -> None:
        self.slices += 1
        self.now += _SLICE_MS
        if self.slices > self._most_slices:
            raise EndlessError(f"after {self.slices} slices {process.name} is in {process.at}")
        process.green.switch()
        if process.green.dead:
            self.alive.remove(process)


class SimulatedClock:
    """Time moves with the slices. A process that waits gives way."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def now_ms(self) -> int:
        return self._processes.now

    def wait(self, seconds: float) -> None:
        self._processes.wait(int(seconds * 1000))
