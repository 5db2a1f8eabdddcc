"""How far users have read. A marker is written by its request: it goes through no queue."""

from chalicelib.adapters.mysql.topic import Topic
from chalicelib.adapters.mysql.values import NO_LIMIT
from chalicelib.domain.numbering import Page
from chalicelib.domain.reading import Marker

# The SELECT takes no locks at READ COMMITTED, so nobody waits here for those who persist.
MOVE = """
INSERT INTO readers (application_id, user, chat, number)
SELECT a.id, %s, %s, LEAST(%s, GREATEST(%s, COALESCE(c.last_message_number, 0)))
FROM applications a LEFT JOIN chats c ON c.application_id = a.id AND c.number = %s
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL
ON DUPLICATE KEY UPDATE number = GREATEST(readers.number, VALUES(number))
"""
LIST = """
SELECT r.chat, r.number
FROM applications a
JOIN readers r ON r.application_id = a.id AND r.user = %s
LEFT JOIN chats c ON c.application_id = a.id AND c.number = r.chat
WHERE a.token = %s AND a.deleted_at IS NULL AND r.chat > %s AND r.chat < %s
  AND c.deleted_at IS NULL
ORDER BY r.chat {direction} LIMIT %s
"""


class Readers(Topic):
    """The markers of users in chats."""

    def move_marker(self, token: str, user: str, marker: Marker, pending_last: int) -> None:
        asked = (user.encode(), marker.chat, marker.number, pending_last)
        self._database.transact(lambda cursor: cursor.execute(MOVE, (*asked, marker.chat, token)))

    def list_markers(self, token: str, user: str, page: Page, limit: int) -> list[Marker]:
        sql = LIST.format(direction="ASC" if page.ascending else "DESC")
        before = NO_LIMIT if page.before is None else page.before
        bounds = (page.after or 0, before, limit)
        rows = self._database.read(sql, (user.encode(), token, *bounds))
        return [Marker(chat, number) for chat, number in rows]
