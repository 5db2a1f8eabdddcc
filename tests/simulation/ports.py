"""Parts of the world as processes reach them: every call gives way before and after, and may fail."""

from collections.abc import Callable
from typing import Any, Literal
from zlib import crc32

from chalicelib.domain.errors import OrdinalError, UnavailableError
from tests.simulation.processes import Processes

Mode = Literal["before", "after", "half"]
# What lies in wait for the next process that makes a certain call: when, and what.
Ambush = tuple[Literal["before", "after"], Literal["fails", "kills", "pauses"], int]


class Faults:
    """The failures that the next calls of each part meet, until when one is away (ms), and the trace of
    all calls."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.next: dict[str, list[Mode]] = {}
        self.ambushes: dict[str, Ambush] = {}
        self.away_until: dict[str, int] = {}
        self.trace = 0
        self.closed = False
        self.watch: Callable[[str], None] | None = None

    def heal(self) -> None:
        """Nothing fails any more."""
        self.next.clear()
        self.ambushes.clear()
        self.away_until.clear()

    def note(self, label: str) -> None:
        self.trace = crc32(label.encode(), self.trace)
        if self.watch:
            process = self.processes.current
            self.watch(f"    {process.name if process else 'at the end'}: {label}")

    def meet(self, label: str) -> Mode | None:
        """How the call that is made now fails. What the simulation does itself never does."""
        ambush = self.ambushes.get(label)
        if ambush and ambush[1] == "fails":
            return self.ambushes.pop(label)[0]
        part = label.split(".")[0]
        if self.processes.now < self.away_until.get(part, 0):
            return "before"
        modes = self.next.get(part)
        return modes.pop() if modes else None

    def catch(self, label: str, when: str) -> None:
        """Kill or pause the process that makes the call, if that lies in wait for it."""
        ambush = self.ambushes.get(label)
        if ambush is None or ambush[0] != when or ambush[1] == "fails":
            return
        _, what, ms = self.ambushes.pop(label)
        self.note(f"{label} {what} {when} it")
        if what == "kills":
            self.processes.end()
        self.processes.wait(ms)


def reached(name: str, part: Any, faults: Faults) -> Any:
    """The part as processes reach it; it has the same methods."""
    return _Port(name, part, faults)


class _Port:
    """Stands before a part, or before a role of the store; has each of its methods."""

    def __init__(self, name: str, part: Any, faults: Faults) -> None:
        self._name, self._part, self._faults = name, part, faults

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if callable(value):
            part: Any = _reached(f"{self._name}.{name}", value, self._faults)
        else:
            part = _Port(self._name, value, self._faults)
        setattr(self, name, part)
        return part


def _reached(label: str, call: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    part = label.split(".")[0]
    give_way, note = faults.processes.give_way, faults.note
    before, after = f"{label}, which has not happened", f"{label}, which has happened"

    def reach(*args: Any) -> Any:
        if faults.closed:
            raise UnavailableError("the run is over")
        process = give_way(before)
        mode = None
        if process:
            faults.catch(label, "before")
            mode = faults.meet(label)
        else:
            faults.processes.now += 1  # patience ends at the end of a run as well
        if mode == "before":
            note(f"{label} fails")
            raise UnavailableError(f"{part} is away")
        if label == "queues.send":
            args = (list(args[0]),)
            if mode == "half":
                args = (args[0][: len(args[0]) // 2],)
        try:
            result = call(*args)
        except OrdinalError as error:
            note(f"{label} raises {type(error).__name__}")
            raise
        note(f"{process.number if process else 0} {label} {_short(result)}")
        if process:
            faults.catch(label, "after")
        give_way(after)
        if mode:
            note(f"{label} is done, and its answer lost")
            raise UnavailableError(f"{part} did not answer")
        return result

    return reach


def _short(result: Any) -> str:
    if isinstance(result, bool | int | None):
        return str(result)
    first = getattr(result, "first", "")
    return f"{type(result).__name__} {first}"
