"""Runs the adapter's own Lua scripts on a `RedisServer` in memory."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from lupa.lua51 import LuaRuntime

from chalicelib.adapters.redis import connection
from tests.fakes.redis_server import FullError, RedisServer, as_bytes

_FOLDER = Path(connection.__file__).with_name("scripts")


def unchanged(name: str, text: str) -> str:
    """The unchanged script."""
    return text


class LuaScripts:
    """Compiles each script once. `change` may change a script's text, to plant a defect."""

    def __init__(self, change: Callable[[str, str], str] = unchanged) -> None:
        self._change = change
        self._lua: Any = LuaRuntime(encoding=None, register_eval=False)
        self._compiled: dict[str, Any] = {}
        self._server: RedisServer | None = None
        self._lock = Lock()
        self._null = self._lua.table()
        libraries = self._lua.execute(
            b"return function(call, pcall, decode, null)"
            b" redis = {call = call, pcall = pcall}; cjson = {decode = decode, null = null} end"
        )
        libraries(self._call, self._pcall, self._decode, self._null)

    def run(self, server: RedisServer, name: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """The reply of a script, in the types that a Redis client returns."""
        script = self._compiled.get(name)
        if script is None:
            text = (_FOLDER / "common.lua").read_text() + (_FOLDER / f"{name}.lua").read_text()
            text = self._change(name, text)
            script = self._lua.execute(f"return function(KEYS, ARGV) {text}\nend".encode())
            self._compiled[name] = script
        table = self._lua.table_from
        with self._lock:
            self._server = server
            server.has_written = False
            reply = script(table([as_bytes(k) for k in keys]), table([as_bytes(a) for a in args]))
            return self._reply(reply)

    def _pcall(self, *command: Any) -> Any:
        try:
            return self._call(*command)
        except FullError as error:
            return self._lua.table_from({b"err": str(error).encode()})

    def _call(self, *command: Any) -> Any:
        assert self._server is not None
        reply = self._server.execute_in_script(*command)
        if reply is None:
            return False
        if isinstance(reply, list):
            return self._lua.table_from([False if part is None else part for part in reply])
        return reply

    def _reply(self, value: Any) -> Any:
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, bytes):
            return value
        if isinstance(value, int | float):
            return int(value)
        parts: list[Any] = []
        while (part := value[len(parts) + 1]) is not None:
            parts.append(self._reply(part))
        return parts

    def _decode(self, text: bytes) -> Any:
        return self._table(json.loads(text))

    def _table(self, value: Any) -> Any:
        if value is None:
            return self._null
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if isinstance(value, dict):
            return self._lua.table_from({k.encode(): self._table(v) for k, v in value.items()})
        if isinstance(value, list):
            return self._lua.table_from([self._table(v) for v in value])
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
