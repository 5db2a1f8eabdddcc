"""The ports as simulated processes reach them: every call gives way before and after it, and may fail."""

import re
from collections.abc import Callable
from typing import Any, Literal
from zlib import crc32

from chalicelib.domain.errors import OrdinalError, OutageError
from chalicelib.usecases.ports import (
    Applications,
    Chats,
    Leases,
    Messages,
    Persistence,
    Purge,
    Queues,
    ReadMarkers,
    Sequencer,
)
from tests.simulation.processes import Processes

# When a call fails: before it happened, after it happened, or (queues only) with half of its records sent.
Mode = Literal["before", "after", "half"]
# What happens to the next process that makes a certain call: when, what, and for how many ms.
Ambush = tuple[Literal["before", "after"], Literal["fails", "kills", "pauses"], int]

# The ports whose calls fail. Failures of the queues are twice as frequent.
PORTS = ("queues", "queues", "store", "sequencer", "index")
MODES: tuple[Mode, ...] = ("before", "after", "half")
AMBUSHES: tuple[Ambush, ...] = (
    ("before", "fails", 0),
    ("after", "fails", 0),
    ("before", "kills", 0),
    ("after", "kills", 0),
    ("before", "pauses", 8_000),
    ("after", "pauses", 8_000),
    ("before", "pauses", 200_000),
    ("after", "pauses", 200_000),
)
# These change nothing, so an ambush there shows nothing that a kill or a failure does not show.
_NO_AMBUSH = ("ping", "list_changes", "by_node")
_STORE_ROLES = [Applications, Chats, Messages, ReadMarkers, Leases, Persistence, Purge]
# The calls that an ambush is set on. Most are rare, so the failures of a port seldom hit them.
CALLS = [
    f"{name}.{call}"
    for name, roles in (("sequencer", [Sequencer]), ("store", _STORE_ROLES), ("queues", [Queues]))
    for role in roles
    for call in vars(role)
    if not call.startswith("_")
    and not re.search("(create|list|rename|delete|forget|block)_application|response", call)
    and call not in _NO_AMBUSH
]
# `tests/unit/test_simulation.py` lists them, because a renamed call could leave these lists unseen.
LEASE_CALLS = [call for call in CALLS if re.search("leas|nonce|is_acquiring", call)]
KEY_CALLS = [call for call in CALLS if re.search("key|application", call)]


class Faults:
    """The failures of the next calls of each port, the outages (`down_until`, in ms), and a trace."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.next: dict[str, list[Mode]] = {}
        self.ambushes: dict[str, Ambush] = {}
        self.down_until: dict[str, int] = {}
        self.trace = 0
        self.closed = False
        self.watch: Callable[[str], None] | None = None

    def heal(self) -> None:
        """Remove all failures."""
        self.next.clear()
        self.ambushes.clear()
        self.down_until.clear()

    def note(self, event: str) -> None:
        """Add an event to the trace."""
        self.trace = crc32(event.encode(), self.trace)
        if self.watch:
            process = self.processes.current
            self.watch(f"    {process.name if process else 'at the end'}: {event}")

    def next_failure(self, call: str) -> Mode | None:
        """How this call fails. Calls of the simulation itself never fail."""
        ambush = self.ambushes.get(call)
        if ambush and ambush[1] == "fails":
            return self.ambushes.pop(call)[0]
        port = call.split(".")[0]
        if self.processes.now < self.down_until.get(port, 0):
            return "before"
        modes = self.next.get(port)
        return modes.pop() if modes else None

    def spring(self, call: str, when: str) -> None:
        """Kill or pause the calling process if an ambush is set on the call."""
        ambush = self.ambushes.get(call)
        if ambush is None or ambush[0] != when or ambush[1] == "fails":
            return
        _, action, ms = self.ambushes.pop(call)
        self.note(f"{call} {action} {when} it")
        if action == "kills":
            self.processes.end()
        self.processes.wait(ms)


def reached(name: str, port: Any, faults: Faults) -> Any:
    """The port as processes reach it. It has the same methods."""
    return _Port(name, port, faults)


class _Port:
    """Wraps a port, or a role of the store, with each of its methods."""

    def __init__(self, name: str, port: Any, faults: Faults) -> None:
        self._name, self._port, self._faults = name, port, faults

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if callable(value):
            wrapped: Any = _reached(f"{self._name}.{name}", value, self._faults)
        else:
            wrapped = _Port(self._name, value, self._faults)
        setattr(self, name, wrapped)
        return wrapped


def _reached(call: str, method: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    port = call.split(".")[0]
    give_way, note = faults.processes.give_way, faults.note
    before, after = f"{call}, which has not happened", f"{call}, which has happened"

    def reach(*args: Any) -> Any:
        if faults.closed:
            raise OutageError("the run is over")
        process = give_way(before)
        mode = None
        if process:
            faults.spring(call, "before")
            mode = faults.next_failure(call)
        else:
            faults.processes.now += 1  # timeouts must end too after the last process has ended
        if mode == "before":
            note(f"{call} fails")
            raise OutageError(f"{port} is down")
        if call == "queues.send":
            args = (list(args[0]),)
            if mode == "half":
                args = (args[0][: len(args[0]) // 2],)
        try:
            result = method(*args)
        except OrdinalError as error:
            note(f"{call} raises {type(error).__name__}")
            raise
        note(f"{process.number if process else 0} {call} {_short(result)}")
        if process:
            faults.spring(call, "after")
        give_way(after)
        if mode:
            note(f"{call} is done, but its response is lost")
            raise OutageError(f"{port} did not respond")
        return result

    return reach


def _short(result: Any) -> str:
    if isinstance(result, bool | int | None):
        return str(result)
    first = getattr(result, "first", "")
    return f"{type(result).__name__} {first}"
