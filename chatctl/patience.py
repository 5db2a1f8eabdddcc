"""How long chatctl goes on trying.

One `Patience` is shared by all threads of a run: what counts is whether anything comes through at all,
so a slow chat does not end a run that moves, and an outage does not last as long as there are chats.
"""

import threading
import time
from collections.abc import Callable

from chatctl.failures import GaveUpError, StoppedError

DEFAULT_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# A new chat makes its writers wait until its row is there: that is no news.
_QUIET_ATTEMPTS = 3


class Patience:
    """Pauses between attempts, which grow, and an end to them.

    `wait` pauses and says whether the run was stopped meanwhile; the default wakes up at once when
    `stop` is called.
    """

    def __init__(
        self,
        limit_seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._say = say
        self._progress_at = clock()

    def stop(self) -> None:
        """End the run: every later attempt and every pause raises `StoppedError`."""
        self._stopped.set()

    def check(self) -> None:
        """Raises `StoppedError` once the run is stopped."""
        if self._stopped.is_set():
            raise StoppedError("stopped")

    def progressed(self) -> None:
        """A request came through."""
        self._progress_at = self._clock()

    def pause(self, attempt: int, at_least_seconds: float, reason: str) -> None:
        """Wait before the attempt after number `attempt` (from 0).

        Raises `GaveUpError` in the thread that runs out of patience first, `StoppedError` in the others.
        """
        self.check()
        growing = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(attempt, 10))
        seconds = max(growing, at_least_seconds)
        if self._clock() + seconds > self._progress_at + self._limit_seconds:
            self.stop()
            raise GaveUpError(
                f"gave up after {self._limit_seconds:.0f} s without progress: {reason}"
            )
        if attempt >= _QUIET_ATTEMPTS:
            self._say(f"{reason}; trying again in {seconds:g} s")
        if self._wait(seconds):
            raise StoppedError("stopped")
