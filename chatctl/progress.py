"""What an import has done so far: one line on the terminal, and numbers for the summary.

`click.progressbar` and tqdm would not do: one line shows two counts of several threads, and a log file gets a
line every five seconds.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

_LINE_EVERY_SECONDS = 5.0
_REDRAW_EVERY_SECONDS = 0.2


class Progress:
    """Counts of all threads. A terminal has one line that is redrawn; a file gets a line now and then."""

    def __init__(
        self,
        chats: int,
        messages: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sent = self.already_present = self.chats_done = 0
        self._chats, self._messages = chats, messages
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._started_at = self._shown_at = clock()

    @property
    def seconds(self) -> float:
        return self._clock() - self._started_at

    @property
    def rate(self) -> float:
        """Messages sent a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    def add_sent(self, count: int) -> None:
        with self._lock:
            self.sent += count
            self._show()

    def add_already_present(self, count: int) -> None:
        with self._lock:
            self.already_present += count
            self._show()

    def add_chat(self) -> None:
        with self._lock:
            self.chats_done += 1
            self._show()

    def log(self, text: str) -> None:
        """Show a line of its own, for example why the run waits."""
        with self._lock:
            self._stream.write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Clear the terminal's line."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self) -> None:
        now = self._clock()
        pause = _REDRAW_EVERY_SECONDS if self._terminal else _LINE_EVERY_SECONDS
        if now - self._shown_at < pause:
            return
        self._shown_at = now
        done = self.sent + self.already_present
        line = (
            f"{done:,} of {self._messages:,} messages,"
            f" {self.chats_done:,} of {self._chats:,} chats, {self.rate:,.0f} messages/s"
        )
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()
