"""What a new process of a function loads up to its first event, against the libraries alone."""

import subprocess
import sys
from collections.abc import Iterator

from infra.local.layout import ROOT
from tests.bench.ground import Ground
from tests.bench.measure import compared
from tests.bench.rows import Row

ROUNDS = 25
_WORKERS = "chalicelib.entrypoints.workers", "worker_ports"
_ALL = ("clock", "sequencer", "store", "queues", "metrics")
# The module that Lambda loads for a function, and the parts of its world that its events need.
FUNCTIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "api_handler": ("app", "world", _ALL),
    "accept_inbox": (*_WORKERS, _ALL),
    "persist_chats": (*_WORKERS, _ALL),
    "persist_messages": (*_WORKERS, _ALL),
    "index_messages": (*_WORKERS, ("clock", "index", "metrics")),
    "repair_pending": ("chalicelib.entrypoints.schedules", "worker_ports", _ALL),
}
LOAD = """
import {module}
from chalicelib.bootstrap import {world}
for part in {parts!r}:
    getattr({world}(), part)
"""
TIMED = """
import time
began = time.perf_counter()
{work}
print(time.perf_counter() - began)
"""
# What is loaded already before the first line is nobody's.
NAMES = """
import sys
before = set(sys.modules)
{work}
own = {{'app', 'chalicelib'}}
print('\\n'.join(n for n in sys.modules if n not in before and n.partition('.')[0] not in own))
"""
# Some packages make modules in memory that nobody can import by their names.
POSSIBLE = """
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


def cold_start(ground: Ground) -> Iterator[Row]:
    for name, (module, ports, parts) in FUNCTIONS.items():
        load = LOAD.format(module=module, ports=ports, parts=parts)
        names = _run(NAMES.format(work=load)).split()
        possible = _run(POSSIBLE.format(names=names)).split()
        libraries = LIBRARIES.format(names=possible)
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
