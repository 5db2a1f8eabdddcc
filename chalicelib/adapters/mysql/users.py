"""The user that the functions are: it reads and writes rows, and can do nothing to tables."""

from urllib.parse import quote, urlsplit

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.connection import Database, credentials

RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


class _Owner(msgspec.Struct, frozen=True):
    """As RDS keeps it."""

    username: str
    password: str


def owner_url(url: str, secret: str) -> str:
    """The URL of the same database for its owner, out of the secret that RDS has made."""
    owner = msgspec.json.decode(secret, type=_Owner)
    parts = urlsplit(url)
    who = f"{quote(owner.username, safe='')}:{quote(owner.password, safe='')}"
    return parts._replace(netloc=f"{who}@{parts.netloc.rpartition('@')[2]}").geturl()


def put_user(owner: str, url: str) -> None:
    """Make the user whose name and password are in `url`, or give it this password; TLS only."""
    name, password, schema = credentials(url)

    def put(cursor: Cursor) -> None:
        cursor.execute("CREATE USER IF NOT EXISTS %s@'%%'", (name,))
        cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s REQUIRE SSL", (name, password))
        cursor.execute(f"GRANT {RIGHTS} ON `{schema.replace('`', '``')}`.* TO %s@'%%'", (name,))

    database = Database(owner)
    try:
        database.transact(put)
    finally:
        database.close()
