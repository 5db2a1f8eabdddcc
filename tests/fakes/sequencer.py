"""The real `RedisSequencer` with its real scripts, on a Redis server in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.domain.errors import UnavailableError
from chalicelib.usecases.ports import Clock
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.redis_server import FullError, RedisServer

_NOWHERE = "redis://127.0.0.1:1/0"


@cache
def _scripts() -> LuaScripts:
    return LuaScripts()


class _Connection:
    """Replaces the adapter's `Scripts`: it runs scripts and commands on the server of the moment."""

    def __init__(self, server: Callable[[], RedisServer], scripts: LuaScripts) -> None:
        self._server, self._scripts = server, scripts

    def run(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        with self._calling():
            return self._scripts.run(self._server(), name, keys, args)

    def run_each(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]
    ) -> list[Any]:
        return [self.run(name, keys, args) for keys, args in calls]

    def send(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        server = self._server()
        with self._calling():
            return [server.execute(*command) for command in commands]

    def server_ms(self, key: str) -> int:
        seconds, microseconds = self._server().time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def ping(self) -> None:
        self._server().ping()

    def node_of(self, key: str) -> str:
        return ""

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            yield
        except FullError as error:
            raise UnavailableError(f"Redis: {error}") from error

    def close(self) -> None:
        pass


class InMemorySequencer(RedisSequencer):
    """`server` can be wiped or restarted. `find_server` chooses the server of each call."""

    def __init__(
        self,
        clock: Clock,
        window: int = 1000,
        *limits: int,
        find_server: Callable[[], RedisServer] | None = None,
        scripts: LuaScripts | None = None,
    ) -> None:
        super().__init__(_NOWHERE, clock, window, "", *limits)
        self.server = RedisServer(clock)
        connection: Any = _Connection(find_server or (lambda: self.server), scripts or _scripts())
        self._scripts = connection

    def wipe(self) -> None:
        self.server.wipe()

    def restart(self) -> None:
        self.server.start()
