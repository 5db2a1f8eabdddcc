"""A lock that one process at a time can hold, for as long as its connection lasts."""

from chalicelib.adapters.mysql.topic import Topic
from chalicelib.domain.errors import UnavailableError

# Names of locks are the server's, not the database's.
NAME = "CONCAT('ordinal-', %s, '-', LEFT(SHA2(DATABASE(), 256), 16))"
TAKE = f"SELECT GET_LOCK({NAME}, 0)"
HOLDS = f"SELECT IS_USED_LOCK({NAME}) = CONNECTION_ID()"


class Locks(Topic):
    """For work that must not run twice at once. A killed process lets go of its locks."""

    def take_lock(self, name: str) -> bool:
        """False where another process has it."""
        return self._database.read(TAKE, (name,)) == [(1,)]

    def check_lock(self, name: str) -> None:
        """Raises `UnavailableError` where it was lost with the connection."""
        if self._database.read(HOLDS, (name,)) != [(1,)]:
            raise UnavailableError(f"MySQL: the connection that held the lock {name} is lost")
