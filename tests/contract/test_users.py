"""The database user of the functions, as the migration creates it on a real server."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import msgspec
import pymysql
import pytest
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, credentials
from chalicelib.adapters.mysql.migrate import owner_url, put_user
from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.errors import UnavailableError
from tests.contract.databases import SERVERS, migrated_database
from tests.contract.factories import NOW


@pytest.fixture(scope="module", params=SERVERS)
def owner(request: pytest.FixtureRequest) -> Iterator[str]:
    with migrated_database(request.param) as url:
        yield url


@pytest.fixture
def user(owner: str) -> Iterator[str]:
    """The URL of a user that does not exist yet. It is removed at the end."""
    url = as_user(owner, f"user_{secrets.token_hex(4)}", "p@ss/w:rd")
    yield url
    with closing(Database(owner)) as database:
        name, _, _ = credentials(url)
        database.transact(lambda cursor: cursor.execute(f"DROP USER IF EXISTS {name}"))


def as_user(owner: str, name: str, password: str) -> str:
    secret = msgspec.json.encode({"username": name, "password": password}).decode()
    return f"{owner_url(owner, secret)}?ssl=unverified"


def test_the_user_reads_and_writes_rows(owner: str, user: str) -> None:
    put_user(owner, user)
    with closing(MySqlStore(user)) as store:
        made = store.applications.create_application(secrets.token_hex(16), "an application", NOW)
        assert store.applications.get_application(made.token) == made
        assert store.applications.delete_application(made.token, NOW)


def test_the_user_cannot_change_tables(owner: str, user: str) -> None:
    put_user(owner, user)

    def work(cursor: Cursor) -> None:
        cursor.execute("DROP TABLE messages")

    with closing(Database(user)) as database, pytest.raises(UnavailableError, match="denied"):
        database.transact(work)


def test_the_user_cannot_connect_without_tls(owner: str, user: str) -> None:
    put_user(owner, user)
    name, password, schema = credentials(user)
    parts = urlsplit(user)
    with pytest.raises(pymysql.OperationalError, match="denied"):
        pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=name,
            password=password,
            database=schema,
            ssl_disabled=True,
        )


def test_a_changed_password_is_set(owner: str, user: str) -> None:
    put_user(owner, user)
    name, _, _ = credentials(user)
    changed = as_user(owner, name, "another")
    put_user(owner, changed)
    with closing(Database(changed)) as database:
        assert database.read("SELECT 1") == [(1,)]
    with closing(Database(user)) as database, pytest.raises(UnavailableError, match="denied"):
        database.read("SELECT 1")
