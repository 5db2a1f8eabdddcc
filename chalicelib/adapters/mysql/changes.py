"""Reading the changes of a chat's messages.

One statement sees one moment. A position is given under the lock of the chat's row, which is held until
the commit: whoever sees a position sees all below it, so nothing appears later below what was read.
Tests: "changes" in `tests/contract/test_store.py`.
"""

from chalicelib.adapters.mysql.messages import COLUMNS, to_message
from chalicelib.adapters.mysql.topic import Topic
from chalicelib.domain.changes import Change, Since

# The index is forced because a server may prefer to sort a whole chat.
LIST = f"""
SELECT m.position, {COLUMNS}
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = %s
JOIN messages m FORCE INDEX (messages_by_position) ON m.chat_id = c.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND (m.position > %s OR (m.position = %s AND m.number > %s))
ORDER BY m.position, m.number LIMIT %s
"""


class Changes(Topic):
    """The port's `list_changes`."""

    def list_changes(self, token: str, chat: int, since: Since, limit: int) -> list[Change]:
        args = (chat, token, since.position, since.position, since.number, limit)
        rows = self._database.read(LIST, args)
        return [Change(position, to_message(tuple(row))) for position, *row in rows]
