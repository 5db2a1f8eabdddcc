"""A cluster of three Valkey servers, with the user and the rights that the functions have on AWS."""

import random
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import crc

from infra.local.console import StackError
from infra.local.install import valkey_server
from tests.unit.cloud_templates import of_type

SLOTS = 16_384
NODES = 3
BUS = 10_000  # a node's bus port lies so far above its port
TRIES = 5
PATIENCE_SECONDS = 60


def free_port() -> int:
    """A port that is free now, with its bus port, below the range of outgoing connections (from 32,768)."""
    while True:
        port = random.randrange(12_000, 22_000)
        if _is_free(port) and _is_free(port + BUS):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def rights() -> str:
    """The access string of the template."""
    [user] = of_type("data", "AWS::ElastiCache::User").values()
    return str(user["AccessString"])


def key_slot(key: str) -> int:
    return crc.key_slot(key.encode())


class Cluster:
    """The nodes by port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._password = secrets.token_hex(16)
        self.ports: list[int] = []

    @property
    def url(self) -> str:
        """The URL of the functions, with the password."""
        return self.url_at(self.ports[0])

    def url_at(self, port: int) -> str:
        """The same, with this node as the address of the cluster."""
        return f"redis+cluster://ordinal:{self._password}@127.0.0.1:{port}/0"

    def start(self) -> None:
        self.ports = [self._launch() for _ in range(NODES)]
        for node in self._nodes():
            for port in self.ports:
                node.execute_command("CLUSTER MEET", "127.0.0.1", port)
        for index, node in enumerate(self._nodes()):
            first, end = index * SLOTS // NODES, (index + 1) * SLOTS // NODES
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        _wait_until(lambda: all(_is_whole(node) for node in self._nodes()))

    def client(self, port: int) -> Any:
        """A client of one node with all rights."""
        return redis.Redis(port=port, socket_timeout=5)

    def kill(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    @contextmanager
    def paused(self, port: int) -> Iterator[None]:
        """The node accepts requests and does not respond."""
        self._processes[port].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes[port].send_signal(signal.SIGCONT)

    def port_of(self, key: str) -> int:
        """The node that has the slot of a key when the cluster starts."""
        return next(
            port for i, port in enumerate(self.ports) if key_slot(key) < (i + 1) * SLOTS // NODES
        )

    def move_slot(self, key: str, port: int) -> None:
        """Give the slot of a key to this node. The slot must be empty."""
        with closing(self.client(port)) as node:
            new_owner = node.execute_command("CLUSTER MYID")
        for node in self._nodes():
            node.execute_command("CLUSTER SETSLOT", key_slot(key), "NODE", new_owner.decode())

    def drop_slot(self, key: str) -> None:
        """No node has the slot of a key any more. The slot must be empty."""
        for node in self._nodes():
            node.execute_command("CLUSTER DELSLOTS", key_slot(key))

    @contextmanager
    def half_moved(self, key: str, moved: str) -> Iterator[None]:
        """The slot of `key` is moving to another node, and so far only the key `moved` has arrived.

        At the end of the context, the whole slot has moved.
        """
        source = self.port_of(key)
        target = next(port for port in self.ports if port != source)
        with closing(self.client(source)) as old, closing(self.client(target)) as new:
            slot: Any = old.execute_command("CLUSTER KEYSLOT", key)
            ids = {node: node.execute_command("CLUSTER MYID").decode() for node in (old, new)}
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[old])
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[new])
            _migrate(old, target, [moved])
            yield
            keys: Any = old.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000)
            _migrate(old, target, keys)
            for node in (new, old):
                node.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[new])

    def stop(self) -> None:
        for port in list(self._processes):
            self.kill(port)

    def _nodes(self) -> Iterator[Any]:
        for port in self.ports:
            with closing(self.client(port)) as node:
                yield node

    def _launch(self) -> int:
        """Start the nodes. If another program takes a port meanwhile, try other ports."""
        for _ in range(TRIES):
            port = free_port()
            process = self._processes[port] = self._run(port)
            with closing(self.client(port)) as node:
                _wait_until(partial(_ended_or_responds, process, node))
            if process.poll() is None:
                return port
            del self._processes[port]
        raise AssertionError(f"no node started; the last one said:\n{self._log(port).read_text()}")

    def _log(self, port: int) -> Path:
        return self._folder / str(port) / "log"

    def _run(self, port: int) -> subprocess.Popen[bytes]:
        folder = self._folder / str(port)
        folder.mkdir()
        acl = folder / "users.acl"
        acl.write_text(
            "user default on nopass ~* &* +@all\n"
            f"user ordinal on >{self._password} {rights().removeprefix('on ')}\n"
        )
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "dir": folder,
            "save": "",
            "aclfile": acl,
            "cluster-enabled": "yes",
            "cluster-node-timeout": 2000,
            "cluster-require-full-coverage": "no",
            "maxmemory-policy": "noeviction",
            "logfile": self._log(port),
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        return subprocess.Popen([str(valkey_server()), *words], stdout=subprocess.DEVNULL)


def _migrate(node: Any, target: int, keys: Sequence[Any]) -> None:
    node.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys)


def _ended_or_responds(process: subprocess.Popen[bytes], node: Any) -> bool:
    return process.poll() is not None or _responds(node)


def _responds(node: Any) -> bool:
    try:
        return bool(node.ping())
    except redis.ConnectionError:
        return False


def _is_whole(node: Any) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == NODES


def _wait_until(condition: Any) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "the cluster did not come up"
        time.sleep(0.05)  # the pause between two checks


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Skips, with a reason, if the server is not installed."""
    try:
        valkey_server()
    except StackError as missing:
        pytest.skip(str(missing))
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
