"""The processes of the stack under test: finding and killing them, its MariaDB, and its Valkey servers."""

import contextlib
import os
import pwd
import shutil
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql
import redis

from infra.local.install import valkey_server
from infra.local.paths import Stack
from infra.local.processes import (
    ManagedProcess,
    is_alive,
    processes_of,
    recorded_processes,
    spawn,
    wait_until,
)
from infra.local.services import clean_environment
from infra.local.services.mariadb import MariaDB
from infra.local.services.valkey import Valkey
from infra.local.stack import start_service
from infra.local.stack_secrets import StackSecrets
from tests.faults.proxy import Proxy

# The functions connect as this user, because `read_only` does not bind the user of the stack.
USER_BOUND_BY_READ_ONLY = "functions"
_GONE_SECONDS = 20


def running(stack: Stack, service: str) -> ManagedProcess:
    """The running process of a service."""
    return next(
        process
        for process in recorded_processes(stack)
        if process.service == service and is_alive(process)
    )


def kill(process: ManagedProcess) -> None:
    """`kill -9`, and wait until the process is gone."""
    os.kill(process.pid, signal.SIGKILL)
    wait_until(
        lambda: not is_alive(process), lambda: True, f"the end of {process.service}", _GONE_SECONDS
    )


def kill_function(stack: Stack, name: str) -> int:
    """`kill -9` to every process of a function (`app.app`, `persist_messages`); how many there were.

    LocalStack starts new processes at the next invocation.
    """
    pids = [pid for pid in processes_of(stack) if function_of(pid).endswith(name)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def function_of(pid: int) -> str:
    """The handler that a process runs, or an empty text if it runs none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (OSError, UnicodeDecodeError):
        return ""
    return words[-1] if "awslambdaric" in words else ""


class StackDatabase:
    """The database of the stack. Statements run as the stack's user, whom `read_only` does not bind."""

    def __init__(self, stack: Stack, keys: StackSecrets, url: str) -> None:
        self._stack, self._keys, self._url = stack, keys, urlsplit(url)
        self._create_user_bound_by_read_only()

    def sql(self, statement: str, args: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on a new connection."""
        with contextlib.closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement, args)
            return list(cursor.fetchall())

    def url_through(self, port: int) -> str:
        """The functions' address: a proxy's port, and the user whom MySQL's read-only mode binds."""
        password = self._keys.mysql_password
        host = f"{USER_BOUND_BY_READ_ONLY}:{password}@127.0.0.1:{port}"
        return f"mysql://{host}{self._url.path}"

    def kill(self) -> None:
        """`kill -9`, and wait until the server is gone."""
        kill(running(self._stack, MariaDB.name))

    def start(self) -> None:
        """Start the server again with its data."""
        start_service(self._stack, MariaDB(), self._keys)

    def _connect(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host="127.0.0.1",
            port=self._url.port or 3306,
            user=self._url.username,
            password=self._url.password or "",
            database=self._url.path.strip("/"),
            autocommit=True,
        )

    def _create_user_bound_by_read_only(self) -> None:
        socket = os.path.relpath(self._stack.data / "mariadb/mariadb.sock")
        owner = pwd.getpwuid(os.geteuid()).pw_name
        with contextlib.closing(pymysql.connect(unix_socket=socket, user=owner)) as connection:
            cursor = connection.cursor()
            user = f"'{USER_BOUND_BY_READ_ONLY}'@'127.0.0.1'"
            password = self._keys.mysql_password
            cursor.execute(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}'")
            cursor.execute(f"GRANT ALL ON ordinal.* TO {user}")


class ValkeyServers:
    """Two Valkey servers by port. The `primary` serves the functions; the other can replace it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        first = stack.ports["redis"]  # the proxy of the functions uses the next port
        self._link_port = first + 3
        self._names = {first: Valkey.name, first + 2: "valkey-second"}
        alive = [port for port in self._names if self._process(port) is not None]
        self.primary = alive[0]
        self.link: Proxy | None = None

    def client(self, port: int | None = None) -> "redis.Redis":
        """A client that bypasses the proxy."""
        return redis.Redis(port=port or self.primary, decode_responses=True, socket_timeout=10)

    def save(self) -> Path:
        """A snapshot of the primary, taken now."""
        with contextlib.closing(self.client()) as client:
            client.save()
        snapshot = self._stack.scratch / "snapshot.rdb"
        shutil.copyfile(self._directory(self.primary) / "dump.rdb", snapshot)
        return snapshot

    def kill(self, port: int | None = None) -> None:
        """`kill -9`, if the server runs."""
        process = self._process(port or self.primary)
        if process is not None:
            kill(process)

    def start(self, snapshot: Path | None = None, port: int | None = None) -> None:
        """Start a server that does not run, with the data of a snapshot or empty."""
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
        wait_until(lambda: self._responds(port), lambda: True, "Valkey", 20)

    def start_replica(self) -> int:
        """Start the other server as a replica behind the proxy `link`; its port, once it is in sync."""
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
        """Make the replica the primary. It stops replicating."""
        with contextlib.closing(self.client(port)) as client:
            client.replicaof("NO", "ONE")
        self.primary = port
        self.drop_link()

    def drop_link(self) -> None:
        """Close the proxy between the two servers."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def _responds(self, port: int) -> bool:
        try:
            with contextlib.closing(self.client(port)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _process(self, port: int) -> ManagedProcess | None:
        alive = [
            p
            for p in recorded_processes(self._stack)
            if p.service == self._names[port] and is_alive(p)
        ]
        return alive[-1] if alive else None

    def _directory(self, port: int) -> Path:
        name = "valkey" if self._names[port] == Valkey.name else self._names[port]
        return self._stack.data / name
