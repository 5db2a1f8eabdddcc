"""What an import has done so far, for the eyes of an operator and for the summary."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

_LINE_EVERY_SECONDS = 5.0
_REDRAW_EVERY_SECONDS = 0.2


class Progress:
    """Counts of all threads. On a terminal one line is redrawn; otherwise a line comes now and then."""

    def __init__(
        self,
        chats: int,
        messages: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sent = self.there = self.chats_done = 0
        self._chats, self._messages = chats, messages
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._began_at = self._shown_at = clock()

    @property
    def seconds(self) -> float:
        return self._clock() - self._began_at

    @property
    def rate(self) -> float:
        """Messages sent a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    def add_sent(self, count: int) -> None:
        with self._lock:
            self.sent += count
            self._show()

    def add_there(self, count: int) -> None:
        with self._lock:
            self.there += count
            self._show()

    def add_chat(self) -> None:
        with self._lock:
            self.chats_done += 1
            self._show()

    def say(self, text: str) -> None:
        """A line of its own, such as why it waits."""
        with self._lock:
            self._stream.write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the terminal's line."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self) -> None:
        now = self._clock()
        if now - self._shown_at < (
            _REDRAW_EVERY_SECONDS if self._terminal else _LINE_EVERY_SECONDS
        ):
            return
        self._shown_at = now
        line = (
            f"{self.sent + self.there:,} of {self._messages:,} messages,"
            f" {self.chats_done:,} of {self._chats:,} chats, {self.rate:,.0f} messages/s"
        )
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()
