"""The clock of the machine."""

import time


class SystemClock:
    """The `Clock` port: the time of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
