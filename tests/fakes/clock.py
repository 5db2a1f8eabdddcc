"""The `Clock` port: time stands still, and `wait` moves it forward. And deadlines of such a clock."""

from chalicelib.domain.times import Deadline


class FakeClock:
    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def wait(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)

    def deadline(self, seconds: float) -> Deadline:
        """The deadline of a function that starts now and may run so long."""
        ends_at_ms = self._now_ms + seconds * 1000
        return Deadline(lambda: ends_at_ms - self._now_ms)
