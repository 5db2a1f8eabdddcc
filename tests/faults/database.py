"""The stack's database, past the proxy: as its operator, and as whoever kills it."""

import contextlib
import os
import pwd
from typing import Any
from urllib.parse import urlsplit

import pymysql

from infra.local.keys import Keys
from infra.local.layout import Stack
from infra.local.parts.mariadb import MariaDB
from infra.local.stack import start_part
from tests.faults.parts import kill, running

USER_THAT_READ_ONLY_BINDS = "functions"


class StackDatabase:
    """Statements go in as the stack's own user, who may write to a read-only server, too."""

    def __init__(self, stack: Stack, keys: Keys, url: str) -> None:
        self._stack, self._keys, self._url = stack, keys, urlsplit(url)
        self._make_the_user_that_read_only_binds()

    def sql(self, statement: str, args: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement on a connection of its own."""
        with contextlib.closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement, args)
            return list(cursor.fetchall())

    def url_by(self, port: int) -> str:
        """The address for the functions, by a proxy's port, as the user that read-only binds."""
        password = self._keys.mysql_password
        host = f"{USER_THAT_READ_ONLY_BINDS}:{password}@127.0.0.1:{port}"
        return f"mysql://{host}{self._url.path}"

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        kill(running(self._stack, MariaDB.name))

    def start(self) -> None:
        """Start it again with its data."""
        start_part(self._stack, MariaDB(), self._keys)

    def _connect(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host="127.0.0.1",
            port=self._url.port or 3306,
            user=self._url.username,
            password=self._url.password or "",
            database=self._url.path.strip("/"),
            autocommit=True,
        )

    def _make_the_user_that_read_only_binds(self) -> None:
        socket = os.path.relpath(self._stack.data / "mariadb/mariadb.sock")
        owner = pwd.getpwuid(os.geteuid()).pw_name
        with contextlib.closing(pymysql.connect(unix_socket=socket, user=owner)) as connection:
            cursor = connection.cursor()
            user = f"'{USER_THAT_READ_ONLY_BINDS}'@'127.0.0.1'"
            password = self._keys.mysql_password
            cursor.execute(f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}'")
            cursor.execute(f"GRANT ALL ON ordinal.* TO {user}")
