"""What a new process of a function loads before its first event, against the libraries alone."""

import subprocess
import sys
from collections.abc import Iterator

from infra.local.paths import ROOT
from tests.bench.harness import Harness
from tests.bench.measure import compared
from tests.bench.rows import Row

ROUNDS = 25
_WORKERS = "chalicelib.entrypoints.workers", "worker_ports"
_ALL = ("clock", "sequencer", "store", "queues", "metrics")
# The module that Lambda loads for a function, and the ports that its events need.
FUNCTIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "api_handler": ("app", "request_ports", _ALL),
    "accept_inbox": (*_WORKERS, _ALL),
    "persist_chats": (*_WORKERS, _ALL),
    "persist_messages": (*_WORKERS, _ALL),
    "index_messages": (*_WORKERS, ("clock", "index", "metrics")),
    # All tasks of the schedule load the same.
    "repair_pending": ("chalicelib.entrypoints.schedules", "worker_ports", _ALL),
}
LOAD = """
import {module}
from chalicelib.bootstrap import {ports}
for name in {names!r}:
    getattr({ports}(), name)
"""
TIMED = """
import time
began = time.perf_counter()
{work}
print(time.perf_counter() - began)
"""
# The modules that are loaded before the first line do not count.
NAMES = """
import sys
before = set(sys.modules)
{work}
own = {{'app', 'chalicelib'}}
print('\\n'.join(n for n in sys.modules if n not in before and n.partition('.')[0] not in own))
"""
# Some packages create modules that cannot be imported by name.
IMPORTABLE = """
import importlib
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    print(name)
"""
LIBRARIES = """
import importlib
for name in {names!r}:
    importlib.import_module(name)
"""


def cold_start(harness: Harness) -> Iterator[Row]:
    for name, (module, ports, port_names) in FUNCTIONS.items():
        load = LOAD.format(module=module, ports=ports, names=port_names)
        modules = _run(NAMES.format(work=load)).split()
        importable = _run(IMPORTABLE.format(names=modules)).split()
        libraries = LIBRARIES.format(names=importable)
        taken = [(_ms(load), _ms(libraries)) for _ in range(ROUNDS)]
        ours, floors = zip(*taken, strict=True)
        yield compared(f"cold_start, {name}", "ms", ours, floors, most=1.15)


def _ms(work: str) -> float:
    return float(_run(TIMED.format(work=work))) * 1000


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout
