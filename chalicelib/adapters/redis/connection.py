"""The connection to Redis and the scripts on it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import UnavailableError

_HERE = Path(__file__).parent
_CONNECT_TIMEOUT_SECONDS = 1.0
_READ_TIMEOUT_SECONDS = 3.0
# An idle connection is checked before it is used again: a script must not be sent on a dead one,
# because nobody could tell whether it ran.
_CHECK_AFTER_IDLE_SECONDS = 10


class Scripts:
    """Runs the `.lua` files of this folder by name.

    A script is sent once: a retry by the client library could give two numbers to one request.
    """

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            socket_timeout=_READ_TIMEOUT_SECONDS,
            health_check_interval=_CHECK_AFTER_IDLE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts: dict[str, Any] = {}
        self._circuit = Circuit("Redis", _unanswered)

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """Run a script; raises `UnavailableError` where Redis does not answer."""
        script = self._scripts.get(name)
        if script is None:
            text = (_HERE / "common.lua").read_text() + (_HERE / f"{name}.lua").read_text()
            script = self._scripts[name] = self.client.register_script(text)
        with self.calling():
            return script(keys=keys, args=args)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around what talks to Redis; raises `UnavailableError` for any failure of it."""
        try:
            with self._circuit.calling():
                yield
        except redis.RedisError as error:
            raise UnavailableError(f"Redis: {type(error).__name__}: {error}") from error


def _unanswered(error: BaseException) -> bool:
    return isinstance(error, redis.ConnectionError | redis.TimeoutError)
