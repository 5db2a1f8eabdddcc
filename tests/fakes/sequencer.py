"""The real `RedisSequencer` with its real scripts, on a Redis server in memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Self

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.usecases.ports import Clock
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.redis_server import RedisServer

_NOWHERE = "redis://127.0.0.1:1/0"


@cache
def _scripts() -> LuaScripts:
    return LuaScripts()


class _Pipeline:
    """The part of redis-py's pipeline that the sequencer uses."""

    def __init__(self, server: Callable[[], RedisServer]) -> None:
        self._server = server
        self._commands: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._commands = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    def execute(self) -> list[Any]:
        server = self._server()
        return [server.execute(*command) for command in self._commands]


class _Connection:
    """Replaces the adapter's `Scripts`: it runs scripts and pipelines on the server of the moment."""

    def __init__(self, server: Callable[[], RedisServer], scripts: LuaScripts) -> None:
        self._server, self._scripts = server, scripts
        self.client = self

    def run(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return self._scripts.run(self._server(), name, keys, args)

    def run_each(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]
    ) -> list[Any]:
        return [self.run(name, keys, args) for keys, args in calls]

    def pipeline(self, transaction: bool) -> _Pipeline:
        return _Pipeline(self._server)

    def calling(self) -> AbstractContextManager[None]:
        return nullcontext()

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
