"""Random faults one after another, and how much memory the processes have before and after."""

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path

from infra.local.console import plain, say
from infra.local.processes import marked
from tests.faults.ground import Ground
from tests.faults.load import Load
from tests.faults.parts import function_of
from tests.faults.proxy import Mode
from tests.faults.scenarios import (
    failover,
    last,
    redis_flushed,
    redis_restarted_empty,
    redis_restored,
)

EVERY_SECONDS = 20.0
_FAULT_SECONDS = 8.0


def mixed(ground: Ground, load: Load, minutes: float) -> None:
    """A random fault every 20 s; what the processes that outlive them all have of memory is printed."""
    memory = resident_mb(ground)
    chance = random.Random(time.time_ns())
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        grant = time.monotonic()
        name, fault = chance.choice(_FAULTS)
        say(f"mix: {name}")
        fault(ground, load)
        ground.heal()
        last(max(0.0, min(end, grant + EVERY_SECONDS) - time.monotonic()))
    for name, after in sorted(resident_mb(ground).items()):
        if name in memory:
            plain(f"           {name:<28} {memory[name]:>7.1f} MB, then {after:>7.1f} MB")


def resident_mb(ground: Ground) -> dict[str, float]:
    """Resident memory of each process of the stack that runs as long as the stack does, by pid."""
    sizes: dict[str, float] = {}
    for pid in marked(ground.stack):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            name = function_of(pid).rpartition(".")[2] or name
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            sizes[f"{name} ({pid})"] = pages * 4096 / 1e6
    return sizes


def _breaks(part: str, mode: Mode) -> Callable[[Ground, Load], None]:
    def fault(ground: Ground, load: Load) -> None:
        with ground.broken(part, mode, 0.15):
            last(_FAULT_SECONDS)

    return fault


def _kills(function: str) -> Callable[[Ground, Load], None]:
    def fault(ground: Ground, load: Load) -> None:
        ground.kill_function(function)

    return fault


def _database_killed(ground: Ground, load: Load) -> None:
    ground.database.kill()
    last(_FAULT_SECONDS)
    ground.database.start()


_FAULTS: list[tuple[str, Callable[[Ground, Load], None]]] = [
    *(
        (f"{part}: {mode.name.lower()}", _breaks(part, mode))
        for part in ("redis", "mysql", "opensearch", "localstack")
        for mode in (Mode.REFUSE, Mode.HANG, Mode.CUT, Mode.SLOW, Mode.MUTE)
    ),
    *(
        (f"{name} killed", _kills(name))
        for name in ("app.app", "accept_inbox", "persist_messages", "index_messages")
    ),
    ("MySQL killed", _database_killed),
    ("FLUSHALL", redis_flushed),
    ("an older snapshot", redis_restored),
    ("restarted empty", redis_restarted_empty),
    ("failover", failover),
]
