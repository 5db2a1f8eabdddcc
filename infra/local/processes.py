"""Starting services and stopping exactly those again.

What must never happen is a signal to somebody else's process. A process counts as ours only while
its pid *and* its start time are the recorded ones (a pid that was given to another process has
another start time), or while its environment carries this stack's mark. The mark is inherited, so
children that outlived their parent are found as well, and what a killed start never recorded.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.console import CancelledError, StackError, cancelled
from infra.local.layout import Stack

POLL_SECONDS = 0.1
_record_lock = threading.Lock()


@dataclass(frozen=True)
class Started:
    """A process that was started for a stack."""

    part: str
    pid: int
    start_ticks: int
    boot_id: str


def spawn(
    stack: Stack,
    part: str,
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> Started:
    """Start a service in a session of its own (a Ctrl-C in our terminal does not reach it)."""
    name, _, value = stack.mark.partition("=")
    stack.logs.mkdir(parents=True, exist_ok=True)
    with _record_lock, (stack.logs / f"{part}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**(environment or os.environ), name: value},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Started and not reaped by us while it runs: `Popen` objects are not needed any more.
        started = Started(part, process.pid, _start_ticks(process.pid) or 0, _boot_id())
        write_json(stack.processes, [asdict(one) for one in [*recorded(stack), started]])
    return started


def recorded(stack: Stack) -> list[Started]:
    """The processes this stack has started, whether they still run or not."""
    try:
        return [Started(**one) for one in json.loads(stack.processes.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def is_alive(started: Started) -> bool:
    """Whether this very process still runs."""
    return started.boot_id == _boot_id() and _start_ticks(started.pid) == started.start_ticks


def marked(stack: Stack) -> list[int]:
    """Every running process that carries this stack's mark, children included."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]
    return [pid for pid in pids if _carries(pid, stack.mark) and _start_ticks(pid) is not None]


def stop(started: Started, grace_seconds: float = 20.0) -> bool:
    """Ask a process to end, and end it when it does not. Says whether it was running."""
    if not is_alive(started):
        return False
    _signal(started.pid, signal.SIGTERM)
    if not _gone(lambda: not is_alive(started), grace_seconds) and is_alive(started):
        _signal(started.pid, signal.SIGKILL)
        _gone(lambda: not is_alive(started), 5.0)
    return True


def stop_marked(stack: Stack, grace_seconds: float = 3.0) -> int:
    """End whatever still carries the stack's mark (orphans of a crash). Says how many."""
    found = marked(stack)
    for pid in found:
        _signal(pid, signal.SIGTERM)
    if found and not _gone(lambda: not marked(stack), grace_seconds):
        for pid in marked(stack):
            _signal(pid, signal.SIGKILL)
        _gone(lambda: not marked(stack), 5.0)
    return len(found)


def wait_until(
    is_ready: Callable[[], bool], is_running: Callable[[], bool], what: str, seconds: float
) -> None:
    """Wait for a condition.

    Raises:
        StackError: the process ended, or the time was up.
        CancelledError: the whole command has to end.
    """
    deadline = time.monotonic() + seconds
    while not is_ready():
        if cancelled.is_set():
            raise CancelledError
        if not is_running():
            raise StackError(f"{what} ended right after its start.")
        if time.monotonic() > deadline:
            raise StackError(f"{what} was not ready after {seconds:.0f} s.")
        time.sleep(POLL_SECONDS)


def run_quietly(
    command: Sequence[str | Path],
    log: Path,
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a helper to its end, its output into a log; ended early when the command is cancelled."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=directory,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return _finish(process)
        finally:
            if process.poll() is None:  # and so its number is still its own
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def ports_open_to_others() -> set[int]:
    """The TCP ports that something listens on for more than this machine."""
    listening, loopback = "0A", ("0100007F", "0" * 16 + "FFFF00000100007F", "0" * 24 + "01000000")
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # no IPv6 here
        for fields in (line.split() for line in lines):
            address, _, port = fields[1].partition(":")
            if fields[3] == listening and address not in loopback:
                ports.add(int(port, 16))
    return ports


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(f"    {line}" for line in lines[-count:])


def write_json(path: Path, value: object, mode: int = 0o600) -> None:
    """Write a file whole or not at all, readable by its owner only (it may hold keys)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as out:
        out.write(json.dumps(value, indent=2) + "\n")
    scratch.replace(path)


def _finish(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled.is_set():
                raise CancelledError from None


def _gone(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _start_ticks(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold blanks and brackets: what follows the last one is regular.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _carries(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
