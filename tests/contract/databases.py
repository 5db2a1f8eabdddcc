"""A new database on a real server, which is dropped at the end. Skips if there is no server."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import unquote, urlsplit

import pymysql
import pytest

from chalicelib.adapters.mysql.migrate import migrate
from tests.contract.conftest import part_url

SERVERS = ("mariadb", "mysql")


@contextmanager
def migrated_database(server: str) -> Iterator[str]:
    """The URL of a new database with its tables, on one of `SERVERS`."""
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database(_server_url(server, stack)))
        migrate(url)
        yield url


def _server_url(server: str, stack: ExitStack) -> str:
    if server == "mariadb":
        return part_url("mysql")
    try:
        from tests.contract.real_mysql import real_mysql  # its tools may be missing

        return str(stack.enter_context(real_mysql()))
    except (ImportError, RuntimeError) as reason:
        pytest.skip(f"no real MySQL: {reason}")


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of a new, empty database on the server of `server_url`."""
    parts = urlsplit(server_url)
    name = f"ordinal_test_{secrets.token_hex(6)}"
    admin = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
    with admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield parts._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {name}")
