"""What a person sees while the stack starts: one line a step, with the seconds since the start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StackError(Exception):
    """Something a person has to look at; the message says what, and what to do about it."""


class CancelledError(Exception):
    """Another step failed, or somebody pressed Ctrl-C: this step has to give up."""


cancelled = threading.Event()
"""Set once, by whoever notices first that the whole command has to end."""

_started = time.monotonic()
_lock = threading.Lock()


def say(text: str) -> None:
    """Print one progress line; lines of parallel steps never mix."""
    with _lock:
        print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def plain(text: str = "") -> None:
    """Print something that is to be copied or piped, so without a prefix."""
    with _lock:
        print(text, flush=True)


def complain(text: str) -> None:
    """Print an error."""
    with _lock:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def step(name: str, doing: str, done: str = "done") -> Iterator[None]:
    """Announce a long step, and say how long it took."""
    say(f"{name}: {doing} …")
    begun = time.monotonic()
    yield
    say(f"{name}: {done} ({time.monotonic() - begun:.1f} s)")
