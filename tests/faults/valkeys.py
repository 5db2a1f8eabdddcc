"""The Valkey servers of a run: one is the primary, another can follow it and take its place."""

import contextlib
import shutil
from pathlib import Path

import redis

from infra.local.install import valkey_server
from infra.local.layout import Stack
from infra.local.parts import clean_environment
from infra.local.parts.valkey import Valkey
from infra.local.processes import Started, is_alive, recorded, spawn, wait_until
from tests.faults.parts import kill
from tests.faults.proxy import Proxy


class Valkeys:
    """Servers by port. `primary` is the one that the functions should reach."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        first = stack.ports["redis"]  # the proxy of the functions is the next one
        self._link_port = first + 3
        self._names = {first: Valkey.name, first + 2: "valkey-second"}
        running = [port for port in self._names if self._process(port) is not None]
        self.primary = running[0]
        self.link: Proxy | None = None

    def client(self, port: int | None = None) -> "redis.Redis":
        """A client past the proxy."""
        return redis.Redis(port=port or self.primary, decode_responses=True, socket_timeout=10)

    def save(self) -> Path:
        """A snapshot of the primary as it is now."""
        with contextlib.closing(self.client()) as client:
            client.save()
        kept = self._stack.scratch / "snapshot.rdb"
        shutil.copyfile(self._directory(self.primary) / "dump.rdb", kept)
        return kept

    def kill(self, port: int | None = None) -> None:
        """`kill -9`."""
        process = self._process(port or self.primary)
        if process is not None:
            kill(process)

    def start(self, snapshot: Path | None = None, port: int | None = None) -> None:
        """Start a server that is not running, with a snapshot's data or with none."""
        port = port or self.primary
        directory = self._directory(port)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        if snapshot is not None:
            shutil.copyfile(snapshot, directory / "dump.rdb")
        options = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(directory),
            "appendonly": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": "0",
            "set-proc-title": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        command = [str(valkey_server()), *words]
        environment = clean_environment(self._stack)
        spawn(self._stack, self._names[port], command, directory=directory, environment=environment)
        wait_until(lambda: self._answers(port), lambda: True, "Valkey", 20)

    def start_replica(self) -> int:
        """Start the other server as a replica behind a proxy, `link`; its port, once it has all."""
        port = next(port for port in self._names if port != self.primary)
        self.kill(port)
        self.link = Proxy(self._link_port, self.primary)
        self.start(port=port)
        with contextlib.closing(self.client(port)) as client:
            client.replicaof("127.0.0.1", str(self._link_port))
            wait_until(
                lambda: client.info("replication")["master_link_status"] == "up",
                lambda: True,
                "the replica",
                30,
            )
        return port

    def promote(self, port: int) -> None:
        """The replica takes no more from the old primary, and is the primary."""
        with contextlib.closing(self.client(port)) as client:
            client.replicaof("NO", "ONE")
        self.primary = port
        self.drop_link()

    def drop_link(self) -> None:
        """The proxy between the two is not needed any more."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def _answers(self, port: int) -> bool:
        try:
            with contextlib.closing(self.client(port)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _process(self, port: int) -> Started | None:
        alive = [p for p in recorded(self._stack) if p.part == self._names[port] and is_alive(p)]
        return alive[-1] if alive else None

    def _directory(self, port: int) -> Path:
        name = "valkey" if self._names[port] == Valkey.name else self._names[port]
        return self._stack.data / name
