"""The `Clock` port: time stands still, and `wait` moves it forward."""


class FakeClock:
    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def wait(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)
