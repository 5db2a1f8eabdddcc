"""Bring the tables up to date, and create the database user of the functions.

Migrations only go forward. Each file of `migrations/` runs once, in the order of its number. A named lock
prevents two runs at the same time. A file that failed half-way runs again as a whole, so its statements must
tolerate that.
"""

from importlib.resources import files
from urllib.parse import quote, urlsplit

import msgspec
import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, credentials
from chalicelib.domain.errors import UnavailableError

# A file that failed half-way had added the column or key before. MySQL has no ADD COLUMN IF NOT EXISTS.
DUPLICATE_COLUMN, DUPLICATE_KEY = 1060, 1061
LOCK_WAIT_SECONDS = 60
READ_TIMEOUT_SECONDS = 900

VERSIONS_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version INT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL,
  applied_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4
"""
# Named locks belong to the whole server, so the name contains the database.
LOCK = "SELECT GET_LOCK(LEFT(CONCAT('migrate ', DATABASE()), 64), %s)"
UNLOCK = "SELECT RELEASE_LOCK(LEFT(CONCAT('migrate ', DATABASE()), 64))"
APPLIED = "SELECT version FROM schema_migrations"
RECORD_APPLIED = (
    "INSERT INTO schema_migrations (version, name, applied_at) VALUES (%s, %s, UTC_TIMESTAMP(3))"
)


def migrate(url: str) -> list[str]:
    """Run the migrations that are still missing. Returns their file names."""
    database = Database(url, READ_TIMEOUT_SECONDS)
    try:
        return database.transact(_migrate)
    finally:
        database.close()


def statements(script: str) -> list[str]:
    """The statements of a migration. Each one ends with a semicolon at the end of a line."""
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join([*lines, ""]).split(";\n") if part.strip()]


def _migrate(cursor: Cursor) -> list[str]:
    cursor.execute(LOCK, (LOCK_WAIT_SECONDS,))
    if cursor.fetchall() != ((1,),):
        raise UnavailableError("another migration is running")
    try:
        return _run_missing(cursor)
    finally:
        cursor.execute(UNLOCK)


def _run_missing(cursor: Cursor) -> list[str]:
    cursor.execute(VERSIONS_TABLE)
    cursor.execute(APPLIED)
    applied = {version for (version,) in cursor.fetchall()}
    missing = {int(name.split("_")[0]): name for name in _names()}
    for version in sorted(missing.keys() - applied):
        script = files(__package__).joinpath("migrations", missing[version]).read_text("utf-8")
        for statement in statements(script):
            _run(cursor, statement)
        cursor.execute(RECORD_APPLIED, (version, missing[version]))
    return [missing[version] for version in sorted(missing.keys() - applied)]


def _run(cursor: Cursor, statement: str) -> None:
    try:
        cursor.execute(statement)
    except pymysql.OperationalError as error:
        if error.args[0] not in (DUPLICATE_COLUMN, DUPLICATE_KEY):
            raise


def _names() -> list[str]:
    entries = files(__package__).joinpath("migrations").iterdir()
    return [entry.name for entry in entries if entry.name.endswith(".sql")]


# The user of the functions reads and writes rows. It cannot change tables.
RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


class _Owner(msgspec.Struct, frozen=True):
    """The secret of the database's owner, as RDS stores it."""

    username: str
    password: str


def owner_url(url: str, secret: str) -> str:
    """The URL of the same database for its owner. `secret` is the JSON that RDS has stored."""
    owner = msgspec.json.decode(secret, type=_Owner)
    parts = urlsplit(url)
    login = f"{quote(owner.username, safe='')}:{quote(owner.password, safe='')}"
    return parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}").geturl()


def put_user(owner: str, url: str) -> None:
    """Create the user of `url`, or set its password. It must connect with TLS. `owner` is the owner's URL."""
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
