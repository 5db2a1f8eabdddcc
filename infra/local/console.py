"""The terminal: one line for each step, with the seconds since the command started."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StackError(Exception):
    """A failure that a person must resolve. The message says what failed and what to do."""


class CancelledError(Exception):
    """This step ends early, because another step failed or somebody pressed Ctrl-C."""


cancelled = threading.Event()
"""Set once, when the whole command must end."""

_started_at = time.monotonic()
_lock = threading.Lock()


def log(text: str) -> None:
    """Print a line of progress. Lines of parallel steps never mix."""
    with _lock:
        print(f"[{time.monotonic() - _started_at:6.1f} s] {text}", flush=True)


def print_raw(text: str = "") -> None:
    """Print text without a prefix, so that it can be copied or piped."""
    with _lock:
        print(text, flush=True)


def print_error(text: str) -> None:
    """Print to standard error."""
    with _lock:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def log_step(name: str, running: str, finished: str = "done") -> Iterator[None]:
    """Log the start of a long step, and its end with the seconds it took."""
    log(f"{name}: {running} …")
    step_started_at = time.monotonic()
    yield
    log(f"{name}: {finished} ({time.monotonic() - step_started_at:.1f} s)")
