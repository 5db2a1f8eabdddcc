"""`python -m tests.contract.releases.record`: record the statements and the keys of today's code.

Run it in the last commit before a new migration. From then on, the tests check every upgrade with the
recording. It needs MariaDB and Valkey of the test stack. The files are named after the newest migration.
"""

import re
from collections.abc import Collection
from contextlib import closing
from typing import Any

import redis
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.adapters.redis.sequencer import FIXED_HOLDER, RedisSequencer
from tests.contract.conftest import part_url
from tests.contract.databases import migrated_database
from tests.contract.factories import application, cache_application
from tests.contract.releases import acts, keys
from tests.contract.releases.recordings import FOLDER, MIGRATIONS, Recording
from tests.fakes.clock import FakeClock


def record(store: MySqlStore, has: Collection[int]) -> Recording:
    """Play both acts on an empty database, and record the statements."""
    statements: list[str] = []

    class Listening(Cursor):
        def _query(self, query: Any) -> Any:
            text = query if isinstance(query, str) else bytes(query).decode()
            statements.append(text.strip())
            return super()._query(query)

    store.database._options |= {"cursorclass": Listening}
    acts.before(store, has)
    middle = len(statements)
    acts.after(store, has)
    return Recording(frozenset(has), _worth(statements[:middle]), _worth(statements[middle:]))


def _worth(statements: list[str]) -> list[str]:
    """All statements that write, in order, and each kind of statement that reads once."""
    reads: set[str] = set()
    recorded = []
    for statement in statements:
        way = re.sub(r"'[^']*'|\d+", "?", statement)
        way = re.sub(r"\?(,\s*\?)+", "?", way)
        if "SET SESSION" not in statement and way not in reads:
            recorded.append(statement)
        if statement.startswith("SELECT"):
            reads.add(way)
    return recorded


def main() -> None:
    newest = MIGRATIONS[max(MIGRATIONS)].removesuffix(".sql")
    with migrated_database("mariadb") as url, closing(MySqlStore(url)) as store:
        (FOLDER / f"{newest}.sql").write_text(record(store, MIGRATIONS).text())
    url = part_url("redis")
    with (
        redis.Redis.from_url(url) as client,
        closing(RedisSequencer(url, FakeClock(), acts.WINDOW, FIXED_HOLDER)) as sequencer,
    ):
        keys.write(sequencer, lambda: cache_application(sequencer, application(acts.TOKEN)))
        (FOLDER / f"{newest}.keys.ndjson").write_text(keys.text(keys.taken(client)))
        sequencer.forget_application(acts.TOKEN)


if __name__ == "__main__":
    main()
