"""How far each counter of an application may go, and has gone, as MySQL knows it. For the operator."""

import msgspec

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.leases import MySqlLeases
from chalicelib.domain.leases import Counter
from chalicelib.domain.number_ranges import count

OF_CHATS = """
SELECT c.number, c.last_message_number, c.messages_ceiling
FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND c.number > %s
ORDER BY c.number LIMIT %s
"""
OF_APPLICATION = """
SELECT (SELECT COALESCE(MAX(c.number), 0) FROM chats c WHERE c.application_id = a.id),
  a.chats_ceiling
FROM applications a WHERE a.token = %s AND a.deleted_at IS NULL
"""
SKIPPING = """
SELECT DISTINCT c.number FROM applications a
JOIN skipped_numbers s ON s.application_id = a.id
JOIN chats c ON c.id = s.chat_id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL
"""


class RateLimit(msgspec.Struct, frozen=True):
    """The highest number that is stored, and the highest that was allowed."""

    counter: Counter
    last: int
    ceiling: int


class Allowances:
    """Reads of live applications and chats."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases = MySqlLeases(database)

    def of_application(self, token: str) -> list[RateLimit]:
        """That of the chats' counter; none where there is no such application."""
        rows = self._database.read(OF_APPLICATION, (token,))
        return [RateLimit(Counter(token), int(last), ceiling) for last, ceiling in rows]

    def of_chats(self, token: str, after: int, limit: int) -> list[RateLimit]:
        """Those of the messages' counters, by the numbers of the chats."""
        rows = self._database.read(OF_CHATS, (token, after, limit))
        return [RateLimit(Counter(token, chat), last, ceiling) for chat, last, ceiling in rows]

    def skipped_messages(self, token: str) -> int:
        """How many message numbers were passed over and are missing."""
        chats = [chat for (chat,) in self._database.read(SKIPPING, (token,))]
        return sum(count(self._leases.skipped_numbers(token, chat)) for chat in chats)
