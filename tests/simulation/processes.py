"""Processes as greenlets: one runs at a time, and gives way only where it calls a part of the world."""

import random
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet

# Who waits for no longer than this is waited for; who was paused for longer is left to sleep.
_SHORT_WAIT_MS = 1_000
_SLICE_MS = 1


class EndlessError(Exception):
    """A run takes more slices than any run should."""


class Process:
    """A function that runs somewhere; `at` is the call that it is in. A killed one never runs again."""

    def __init__(self, number: int, name: str, green: greenlet, side: int) -> None:
        self.number = number
        self.name = name
        self.green = green
        self.side = side
        self.wakes_at = 0
        self.at = "its beginning"


class Processes:
    """All that run, and the clock that they share."""

    def __init__(self, now_ms: int, most_slices: int) -> None:
        self.now = now_ms
        self.chunks = 0
        self.alive: list[Process] = []
        self._most_slices = most_slices
        self._killed: list[Process] = []
        self._main = getcurrent()
        self._by_green: dict[greenlet, Process] = {}
        self._count = 0

    @property
    def current(self) -> Process | None:
        """The one that runs; None where the simulation itself does."""
        return self._by_green.get(getcurrent())

    def start(self, name: str, side: int, work: Callable[[], None]) -> Process:
        self._count += 1
        green = greenlet(work)
        process = Process(self._count, name, green, side)
        self._by_green[green] = process
        self.alive.append(process)
        return process

    def give_way(self, at: str) -> Process | None:
        """Let others run: the switch point of every call of a port.

        What the simulation does itself takes time as well, or what tries until its time is up would
        try for ever.
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

    def run(self, chunks: int, chance: random.Random) -> None:
        """Let processes run for so many slices, as long as one of them is awake or soon will be."""
        for _ in range(chunks):
            awake = self._awake(_SHORT_WAIT_MS)
            if not awake:
                return
            self._slice(chance.choice(awake))

    def run_all(self, chance: random.Random) -> None:
        """Until all have ended, however long they sleep."""
        while self.alive:
            self._slice(chance.choice(self._awake(2**60)))

    def kill(self, process: Process) -> None:
        # Kept, because a greenlet that is collected runs its `finally` blocks.
        self.alive.remove(process)
        self._killed.append(process)

    def end(self) -> None:
        """Kill the process that runs: this does not return."""
        process = self.current
        assert process is not None
        self.kill(process)
        self._main.switch()

    def pause(self, process: Process, ms: int) -> None:
        process.wakes_at = self.now + ms

    def close(self) -> None:
        """Get rid of all that have not ended. The ports must be closed by now."""
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
        self.chunks += 1
        self.now += _SLICE_MS
        if self.chunks > self._most_slices:
            raise EndlessError(f"after {self.chunks} slices {process.name} is in {process.at}")
        process.green.switch()
        if process.green.dead:
            self.alive.remove(process)


class SimulatedClock:
    """Time moves with the slices; a process that waits gives way."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def now_ms(self) -> int:
        return self._processes.now

    def wait(self, seconds: float) -> None:
        self._processes.wait(int(seconds * 1000))
