"""The `Store` port on MySQL, put together from one module a topic."""

from chalicelib.adapters.mysql.applications import Applications, IdempotentResponses
from chalicelib.adapters.mysql.chats import Chats
from chalicelib.adapters.mysql.database import READ_TIMEOUT_SECONDS, Database
from chalicelib.adapters.mysql.leases import Leases, Skipped
from chalicelib.adapters.mysql.messages import Changes, Messages
from chalicelib.adapters.mysql.persist_chats import PersistChats
from chalicelib.adapters.mysql.persist_messages import PersistMessages
from chalicelib.adapters.mysql.purge import Purge
from chalicelib.adapters.mysql.read_markers import Readers, Unread
from chalicelib.operators.advance_counters import AdvanceCounters
from chalicelib.operators.recount import Recount


class MySqlStore(
    Applications,
    IdempotentResponses,
    Chats,
    Messages,
    Changes,
    Readers,
    Unread,
    Leases,
    Skipped,
    PersistChats,
    PersistMessages,
    Purge,
    Recount,
    AdvanceCounters,
):
    """Everything that is asked of MySQL. `url` is `mysql://user:password@host:port/database`.

    Nothing connects before the first call. `close` lets go of the calling thread's connection.
    """

    def __init__(self, url: str, read_timeout_seconds: int = READ_TIMEOUT_SECONDS) -> None:
        super().__init__(Database(url, read_timeout_seconds))

    def ping(self) -> None:
        """Raise `UnavailableError` unless the server answers and the tables are there."""
        self._database.read("SELECT 1 FROM schema_migrations LIMIT 1")

    def close(self) -> None:
        self._database.close()
