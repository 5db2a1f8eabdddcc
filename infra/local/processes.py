"""Starts processes of a stack, and stops exactly those.

A signal must never reach a process of somebody else. A process counts as ours in two cases only. Its pid
and its start time are the recorded ones: a process that got the pid later has another start time. Or its
environment contains the marker variable with this stack's folder: children inherit the marker, so it also
finds orphans, and processes that a killed start did not record.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.console import CancelledError, StackError, cancelled
from infra.local.paths import MARKER_VARIABLE, Stack

POLL_SECONDS = 0.1
_record_lock = threading.Lock()


@dataclass(frozen=True)
class ManagedProcess:
    """A process that was started for a stack, with what identifies it after a restart of this program."""

    service: str
    pid: int
    start_ticks: int
    boot_id: str


def spawn(
    stack: Stack,
    service: str,
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> ManagedProcess:
    """Start a service and record it. It runs in its own session, so a Ctrl-C here does not reach it."""
    stack.logs.mkdir(parents=True, exist_ok=True)
    with _record_lock, (stack.logs / f"{service}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**(environment or os.environ), MARKER_VARIABLE: str(stack.directory)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        start_ticks = _start_ticks(process.pid) or 0
        started = ManagedProcess(service, process.pid, start_ticks, _boot_id())
        records = [asdict(process) for process in [*recorded_processes(stack), started]]
        write_json(stack.processes, records)
    return started


def recorded_processes(stack: Stack) -> list[ManagedProcess]:
    """The processes that were started for this stack, running or not."""
    try:
        records = json.loads(stack.processes.read_text())
        return [ManagedProcess(**record) for record in records]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def is_alive(process: ManagedProcess) -> bool:
    """Whether this very process still runs."""
    return process.boot_id == _boot_id() and _start_ticks(process.pid) == process.start_ticks


def processes_of(stack: Stack) -> list[int]:
    """The pids of all running processes with this stack's marker, children included."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]
    return [pid for pid in pids if _has_marker(pid, stack) and _start_ticks(pid) is not None]


def stop(process: ManagedProcess, grace_seconds: float = 20.0) -> bool:
    """Terminate a process, and kill it after the grace time. Returns whether it was running."""
    if not is_alive(process):
        return False
    _signal(process.pid, signal.SIGTERM)
    if not _becomes_true(lambda: not is_alive(process), grace_seconds) and is_alive(process):
        _signal(process.pid, signal.SIGKILL)
        _becomes_true(lambda: not is_alive(process), 5.0)
    return True


def stop_leftovers(stack: Stack, grace_seconds: float = 3.0) -> int:
    """Stop every process that still has the stack's marker. Returns how many there were."""
    pids = processes_of(stack)
    for pid in pids:
        _signal(pid, signal.SIGTERM)
    if pids and not _becomes_true(lambda: not processes_of(stack), grace_seconds):
        for pid in processes_of(stack):
            _signal(pid, signal.SIGKILL)
        _becomes_true(lambda: not processes_of(stack), 5.0)
    return len(pids)


def wait_until(
    is_ready: Callable[[], bool], is_running: Callable[[], bool], title: str, seconds: float
) -> None:
    """Wait until a service is ready.

    Raises:
        StackError: the process ended, or the time is over.
        CancelledError: the whole command must end.
    """
    deadline = time.monotonic() + seconds
    while not is_ready():
        if cancelled.is_set():
            raise CancelledError
        if not is_running():
            raise StackError(f"{title} ended right after its start.")
        if time.monotonic() > deadline:
            raise StackError(f"{title} was not ready after {seconds:.0f} s.")
        time.sleep(POLL_SECONDS)


def run_quietly(
    command: Sequence[str | Path],
    log: Path,
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program to its end with its output in a log. Returns its exit code.

    Raises:
        CancelledError: the whole command must end. The program was terminated.
    """
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
            return _wait(process)
        finally:
            if process.poll() is None:  # it was not reaped, so no other process has its pid
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def run_in_parallel[T](tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks in threads. Returns their results in order. The first failure ends the others.

    Raises:
        StackError: a task failed with it. It is raised before the errors that it caused in other tasks.
    """
    if not tasks:
        return []
    with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for future in futures:
                future.add_done_callback(lambda done: cancelled.set() if done.exception() else None)
            errors = [error for future in futures if (error := future.exception()) is not None]
        except BaseException:
            cancelled.set()
            raise
    causes = [error for error in errors if isinstance(error, StackError)]
    if errors:
        raise (causes or errors)[0]
    return [future.result() for future in futures]


def ports_open_to_others() -> set[int]:
    """The TCP ports on which some process accepts connections from other machines."""
    listening, loopback = "0A", ("0100007F", "0" * 16 + "FFFF00000100007F", "0" * 24 + "01000000")
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # no IPv6 on this machine
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
    """Write a file as a whole or not at all. Only its owner can read it, since it can contain keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(json.dumps(value, indent=2) + "\n")
    scratch.replace(path)


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled.is_set():
                raise CancelledError from None


def _becomes_true(condition: Callable[[], bool], seconds: float) -> bool:
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
    """The start time of a process in ticks since the boot; None if it ended or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets can contain blanks and brackets, so the fields after the last bracket are counted.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _has_marker(pid: int, stack: Stack) -> bool:
    marker = f"{MARKER_VARIABLE}={stack.directory}".encode()
    try:
        return marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
