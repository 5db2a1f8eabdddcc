"""How chatctl opens the client of the HTTP API, and how long a run repeats requests that fail.

A `RetryBudget` is the client's retry policy for a whole run. All threads of the run share its time: the
time counts from the last request that succeeded. So a slow chat does not end a run that makes progress,
and an outage ends the run once, not once for each chat.
"""

import threading
import time
from collections.abc import Callable

import click
from ordinal_client import Attempts, Client, OrdinalError, pause_seconds

from chatctl.config import Credential
from chatctl.errors import GaveUpError, StoppedError

DEFAULT_SECONDS = 300.0
# The first messages of a new chat wait until its row is stored, so the first few pauses are normal.
_SILENT_PAUSES = 3


class RetryBudget:
    """The retry policy of one run: `seconds` without progress end it, and so does `stop`.

    `wait` pauses and returns whether the run was stopped. By default it returns as soon as `stop` is
    called.
    """

    def __init__(
        self,
        seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._log = log
        self._progress_at = clock()

    def stop(self) -> None:
        """End the run: every later request and every pause raises `StoppedError`."""
        self._stopped.set()

    def start(self) -> Attempts:
        """Start a request. That is progress: the request before it in this thread is finished.

        Raises `StoppedError` if the run is stopped.
        """
        self._check()
        self._progress_at = self._clock()
        return _Attempts(self)

    def pause(self, failures: int, error: OrdinalError) -> None:
        """Wait after a failure; `failures` counts the earlier ones of the request.

        Raises `GaveUpError` in the thread that uses up the budget first, `StoppedError` in the others.
        """
        self._check()
        seconds = pause_seconds(failures, error)
        if self._clock() + seconds > self._progress_at + self._seconds:
            self.stop()
            raise GaveUpError(f"gave up after {self._seconds:.0f} s without progress: {error}")
        if failures >= _SILENT_PAUSES:
            self._log(f"{error}; trying again in {seconds:.1f} s")
        if self._wait(seconds):
            raise StoppedError("stopped")

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError("stopped")


class _Attempts:
    """The attempts of one request."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._failures = 0

    def pause_seconds(self, error: OrdinalError) -> float:
        """Return 0: the budget has waited already, because `stop` can end its pauses."""
        if not error.retryable:
            raise error
        self._budget.pause(self._failures, error)
        self._failures += 1
        return 0.0


OpenClient = Callable[[Credential], Client]


def client_opener(base_url: str, budget: RetryBudget) -> OpenClient:
    """A function that opens a client for a credential.

    Raises `click.UsageError` if `base_url` is not an HTTP URL.
    """
    if not base_url.startswith(("http://", "https://")):
        raise click.UsageError(f"the base URL {base_url!r} must begin with http:// or https://")
    return lambda credential: Client(base_url, credential.key, credential.token, retries=budget)
