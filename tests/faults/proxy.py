"""A TCP proxy on 127.0.0.1 that can be told to break: the faults of a network, and of what is behind it."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any

_CHUNK_BYTES = 64 * 1024
_CUT_AFTER_AT_MOST_BYTES = 20_000

Watcher = Callable[[int, bytes], Awaitable[object]]


class Mode(Enum):
    """What happens to connections from now on, those that are open included."""

    PASS = "everything passes"
    REFUSE = "nobody listens, open connections are reset"
    HANG = "connections are taken, nothing passes until the mode changes"
    CUT = "connections are reset after some thousand bytes, differently each time"
    SLOW = "each chunk is late"
    MUTE = "what is sent arrives, the answers do not"


class Proxy:
    """Listens on `port` in a thread of its own and passes on to `target`, another port.

    `on_sent(target, chunk)` sees what clients send, before it is passed on.
    """

    def __init__(self, port: int, target: int, on_sent: Watcher | None = None) -> None:
        self.port, self._target, self._on_sent = port, target, on_sent
        self._mode, self._delay_seconds = Mode.PASS, 0.0
        self._links: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def set(self, mode: Mode, delay_seconds: float = 0.0) -> None:
        """Change the mode; `delay_seconds` is how late a chunk is in SLOW."""
        self._do(self._set(mode, delay_seconds))

    def point_to(self, target: int) -> None:
        """Pass on to another port; open connections are reset, as a failover does."""
        self._target = target
        self._do(self._reset())

    def close(self) -> None:
        """Stop listening and reset what is open."""
        self._do(self._set(Mode.REFUSE, 0.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self.port)

    async def _set(self, mode: Mode, delay_seconds: float) -> None:
        self._mode, self._delay_seconds = mode, delay_seconds
        self._changed.set()
        self._changed = asyncio.Event()
        if mode is Mode.REFUSE:
            if self._server is not None:
                self._server.close()
                self._server = None
            await self._reset()
        elif self._server is None:
            await self._listen()

    async def _reset(self) -> None:
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.ensure_future(self._serve(reader, writer))
        self._links.add(link)
        await asyncio.wait([link])
        self._links.discard(link)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(back)
            left = random.randrange(_CUT_AFTER_AT_MOST_BYTES)
            ways = [
                asyncio.ensure_future(self._pump(reader, back, left, asked=True)),
                asyncio.ensure_future(self._pump(there, writer, left, asked=False)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # nobody is behind the proxy: the client is reset, as it would be
        finally:
            for one in writers:
                one.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int, *, asked: bool
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            while self._mode is Mode.HANG:
                await self._changed.wait()
            if self._mode is Mode.SLOW:
                await asyncio.sleep(self._delay_seconds)
            if self._mode is Mode.MUTE and not asked:
                continue
            if self._mode is Mode.CUT and (left := left - len(chunk)) < 0:
                writer.write(chunk[:left])
                return
            if asked and self._on_sent is not None:
                await self._on_sent(self._target, chunk)
            writer.write(chunk)
            await writer.drain()
