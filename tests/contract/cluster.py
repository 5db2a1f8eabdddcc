"""A cluster of three Valkey servers, with the user and the rights that the functions have on AWS."""

import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from infra.local.console import StackError
from infra.local.install import valkey_server
from tests.unit.cloud_templates import of_type

SLOTS = 16_384
NODES = 3
PATIENCE_SECONDS = 60


def free_port() -> int:
    """One that is free now, and whose bus port (10,000 above) exists."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


def rights() -> str:
    """The access string out of the template."""
    [user] = of_type("data", "AWS::ElastiCache::User").values()
    return str(user["AccessString"])


class Cluster:
    """Its nodes by port. `url` is what the functions are given, with the password in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.ports = [free_port() for _ in range(NODES)]
        self._password = secrets.token_hex(16)
        self.url = f"redis+cluster://ordinal:{self._password}@127.0.0.1:{self.ports[0]}/0"

    def start(self) -> None:
        for port in self.ports:
            self._launch(port)
        for node in self._nodes():
            for port in self.ports:
                node.execute_command("CLUSTER MEET", "127.0.0.1", port)
        for index, node in enumerate(self._nodes()):
            first, end = index * SLOTS // NODES, (index + 1) * SLOTS // NODES
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        _wait_until(lambda: all(_is_whole(node) for node in self._nodes()))

    def client(self, port: int) -> "redis.Redis":
        """The owner of one node."""
        return redis.Redis(port=port, socket_timeout=5)

    def kill(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    @contextmanager
    def paused(self, port: int) -> Iterator[None]:
        """The node takes what it is sent and answers nothing."""
        self._processes[port].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes[port].send_signal(signal.SIGCONT)

    def port_of(self, key: str) -> int:
        """The node that has a key."""
        with closing(self.client(self.ports[0])) as node:
            slot: Any = node.execute_command("CLUSTER KEYSLOT", key)
        return next(p for i, p in enumerate(self.ports) if slot < (i + 1) * SLOTS // NODES)

    def stop(self) -> None:
        for port in list(self._processes):
            self.kill(port)

    def _nodes(self) -> Iterator["redis.Redis"]:
        for port in self.ports:
            with closing(self.client(port)) as node:
                yield node

    def _launch(self, port: int) -> None:
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
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._processes[port] = subprocess.Popen(
            [str(valkey_server()), *words], stdout=subprocess.DEVNULL
        )
        with closing(self.client(port)) as node:
            _wait_until(lambda: _answers(node))


def _answers(node: "redis.Redis") -> bool:
    try:
        return bool(node.ping())
    except redis.ConnectionError:
        return False


def _is_whole(node: "redis.Redis") -> bool:
    info: Any = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == NODES


def _wait_until(condition: Any) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "the cluster did not come up"
        time.sleep(0.05)  # the pause between two looks


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Skips, saying so, where the server is not installed."""
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
