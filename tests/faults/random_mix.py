"""Random faults one after another, and the memory of the long-lived processes before and after."""

import contextlib
import random
import time
from pathlib import Path

from infra.local.console import log, print_raw
from infra.local.processes import processes_of
from tests.faults.harness import Harness
from tests.faults.load import Load
from tests.faults.proxy import Mode
from tests.faults.scenarios import (
    Fault,
    failover,
    redis_flushed,
    redis_restarted_empty,
    redis_restored,
    wait,
)
from tests.faults.servers import function_of

EVERY_SECONDS = 20.0
_FAULT_SECONDS = 8.0


def random_mix(harness: Harness, load: Load, minutes: float) -> None:
    """Cause a random fault every 20 s, then print the memory of the processes that survived all of them."""
    memory = resident_mb(harness)
    chance = random.Random(time.time_ns())
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        began = time.monotonic()
        name, fault = chance.choice(_FAULTS)
        log(f"mix: {name}")
        fault(harness, load)
        harness.heal()
        wait(max(0.0, min(end, began + EVERY_SECONDS) - time.monotonic()))
    for name, after in sorted(resident_mb(harness).items()):
        if name in memory:
            print_raw(f"           {name:<28} {memory[name]:>7.1f} MB, then {after:>7.1f} MB")


def resident_mb(harness: Harness) -> dict[str, float]:
    """The resident memory of each process of the stack, by name and pid."""
    sizes: dict[str, float] = {}
    for pid in processes_of(harness.stack):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            name = function_of(pid).rpartition(".")[2] or name
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            sizes[f"{name} ({pid})"] = pages * 4096 / 1e6
    return sizes


def _breaks(service: str, mode: Mode) -> Fault:
    def fault(harness: Harness, load: Load) -> None:
        with harness.broken(service, mode, 0.15):
            wait(_FAULT_SECONDS)

    return fault


def _kills(function: str) -> Fault:
    def fault(harness: Harness, load: Load) -> None:
        harness.kill_function(function)

    return fault


def _database_killed(harness: Harness, load: Load) -> None:
    harness.database.kill()
    wait(_FAULT_SECONDS)
    harness.database.start()


_FAULTS: list[tuple[str, Fault]] = [
    *(
        (f"{service}: {mode.name.lower()}", _breaks(service, mode))
        for service in ("redis", "mysql", "opensearch", "localstack")
        for mode in (Mode.REFUSE, Mode.HANG, Mode.RESET, Mode.SLOW, Mode.MUTE)
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
