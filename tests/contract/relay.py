"""A TCP listener in front of a real part. It can hang, refuse or reset connections."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Mood = Literal["forward", "hang", "refuse", "reset"]

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """`connections` counts connections. `turn` changes how open and new connections are treated."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._mood: Mood = "forward"
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.port = 0
        self._listen()

    def turn(self, mood: Mood) -> None:
        self._mood = mood
        if mood in ("refuse", "reset"):
            self._drop_connections()
        if mood == "refuse":
            self._close_listener()
        elif self._listener.fileno() == -1:
            self._listen()

    def close(self) -> None:
        self._close_listener()
        self._drop_connections()
        for thread in self._threads:
            thread.join(5)

    def _listen(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._listener.listen()
        self._start(self._accept, self._listener)

    def _close_listener(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                if self._mood == "reset":
                    client.close()
                    continue
                self._sockets.append(client)
                if self._mood == "forward":
                    server = socket.create_connection(self._target)
                    self._sockets.append(server)
                    self._start(self._pass_on, client, server)
                    self._start(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._mood == "forward":
                    sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _start(self, work: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _drop_connections(self) -> None:
        while self._sockets:
            dropped = self._sockets.pop()
            with suppress(OSError):
                dropped.shutdown(socket.SHUT_RDWR)  # wakes the thread that receives
            dropped.close()


@contextmanager
def relay_to(host: str, port: int) -> Iterator[Relay]:
    relay = Relay(host, port)
    try:
        yield relay
    finally:
        relay.close()
