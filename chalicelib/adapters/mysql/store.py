"""The `Store` port on MySQL: one repository for each role, over one `Database`."""

from chalicelib.adapters.mysql.applications import MySqlApplications
from chalicelib.adapters.mysql.chats import MySqlChats
from chalicelib.adapters.mysql.database import READ_TIMEOUT_SECONDS, Database
from chalicelib.adapters.mysql.leases import MySqlLeases
from chalicelib.adapters.mysql.messages import MySqlMessages
from chalicelib.adapters.mysql.persist_messages import MySqlPersistence
from chalicelib.adapters.mysql.purge import MySqlPurge
from chalicelib.adapters.mysql.read_markers import MySqlReadMarkers
from chalicelib.adapters.mysql.rounds import MySqlRounds


class MySqlStore:
    """`url` is `mysql://user:password@host:port/database`, with the options of `Database`.

    Nothing connects before the first call. `close` closes the calling thread's connection.
    """

    def __init__(self, url: str, read_timeout_seconds: int = READ_TIMEOUT_SECONDS) -> None:
        self.database = Database(url, read_timeout_seconds)
        self.applications = MySqlApplications(self.database)
        self.chats = MySqlChats(self.database)
        self.messages = MySqlMessages(self.database)
        self.read_markers = MySqlReadMarkers(self.database)
        self.leases = MySqlLeases(self.database)
        self.persistence = MySqlPersistence(self.database)
        self.purge = MySqlPurge(self.database)
        self.rounds = MySqlRounds(self.database)

    def ping(self) -> None:
        """Raise `UnavailableError` unless the server responds and the tables exist."""
        self.database.read("SELECT 1 FROM schema_migrations LIMIT 1")

    def close(self) -> None:
        self.database.close()
