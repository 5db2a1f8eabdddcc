"""Finding and ending the processes of the stack, and of no other."""

import contextlib
import os
import signal
from pathlib import Path

from infra.local.layout import Stack
from infra.local.processes import Started, is_alive, marked, recorded, wait_until

_GONE_SECONDS = 20


def running(stack: Stack, part: str) -> Started:
    """The running process of a part."""
    return next(one for one in recorded(stack) if one.part == part and is_alive(one))


def kill(process: Started) -> None:
    """`kill -9`, and wait until it is gone."""
    os.kill(process.pid, signal.SIGKILL)
    wait_until(
        lambda: not is_alive(process), lambda: True, f"the end of {process.part}", _GONE_SECONDS
    )


def kill_function(stack: Stack, name: str) -> int:
    """`kill -9` to every process of a function (`app.app`, `persist_messages`); they come again.

    Says how many there were.
    """
    pids = [pid for pid in marked(stack) if function_of(pid).endswith(name)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def function_of(pid: int) -> str:
    """The handler that a process runs; empty where it runs none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (OSError, UnicodeDecodeError):
        return ""
    return words[-1] if "awslambdaric" in words else ""
