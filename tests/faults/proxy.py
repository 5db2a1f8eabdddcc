"""A TCP proxy on 127.0.0.1 that simulates the faults of a network and of the server behind it."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any

_CHUNK_BYTES = 64 * 1024
_RESET_AFTER_AT_MOST_BYTES = 20_000

Watcher = Callable[[int, bytes], Awaitable[object]]


class Mode(Enum):
    """What happens to all connections, including the open ones."""

    PASS = "data passes"
    REFUSE = "new connections are refused, open connections are reset"
    HANG = "connections are accepted, but no data passes until the mode changes"
    RESET = "connections are reset after a random number of bytes"
    SLOW = "each chunk is delayed"
    MUTE = "requests pass, responses do not"


class Proxy:
    """Listens on `port` in its own thread, and forwards to `target`, another port.

    `on_request(target, chunk)` gets each chunk from a client before the chunk is forwarded.
    """

    def __init__(self, port: int, target: int, on_request: Watcher | None = None) -> None:
        self.port, self._target, self._on_request = port, target, on_request
        self._mode, self._delay_seconds = Mode.PASS, 0.0
        self._links: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._listen())

    def set(self, mode: Mode, delay_seconds: float = 0.0) -> None:
        """Change the mode. `delay_seconds` is the delay of each chunk in SLOW."""
        self._run(self._set(mode, delay_seconds))

    def point_to(self, target: int) -> None:
        """Forward to another port. Open connections are reset, as in a failover."""
        self._target = target
        self._run(self._reset())

    def close(self) -> None:
        """Stop listening, and reset all open connections."""
        self._run(self._set(Mode.REFUSE, 0.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
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
            responses, forward = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(forward)
            bytes_left = random.randrange(_RESET_AFTER_AT_MOST_BYTES)
            pumps = [
                asyncio.ensure_future(self._pump(reader, forward, bytes_left, is_request=True)),
                asyncio.ensure_future(self._pump(responses, writer, bytes_left, is_request=False)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the target is down: reset the client
        finally:
            for open_writer in writers:
                open_writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        bytes_left: int,
        *,
        is_request: bool,
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            while self._mode is Mode.HANG:
                await self._changed.wait()
            if self._mode is Mode.SLOW:
                await asyncio.sleep(self._delay_seconds)
            if self._mode is Mode.MUTE and not is_request:
                continue
            if self._mode is Mode.RESET and (bytes_left := bytes_left - len(chunk)) < 0:
                writer.write(chunk[:bytes_left])
                return
            if is_request and self._on_request is not None:
                await self._on_request(self._target, chunk)
            writer.write(chunk)
            await writer.drain()
