"""Reading chats."""

from collections.abc import Collection
from itertools import batched

from chalicelib.adapters.mysql.database import (
    NO_LIMIT,
    Database,
    Row,
    from_db_metadata,
    from_db_time,
    from_db_time_not_null,
    placeholders,
)
from chalicelib.adapters.mysql.locking import MAX_KEYS_PER_STATEMENT
from chalicelib.domain.models import AppToken, Chat, ChatNumber, ChatRow
from chalicelib.domain.paging import PageRequest

COLUMNS = """
c.number, c.revision, c.title, c.metadata, c.created_at, c.edited_at, c.deleted_at,
c.idempotency_key, c.messages_count, c.last_message_number
"""
GET = f"""
SELECT {COLUMNS} FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.number = %s
"""
LIST = f"""
SELECT {COLUMNS} FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.number > %s AND c.number < %s
  AND c.deleted_at IS NULL
ORDER BY c.number {{direction}} LIMIT %s
"""
EXISTING = """
SELECT a.token, c.number FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND c.number IN ({placeholders})
"""


class MySqlChats:
    """Chats with their cached counts. A stub counts as a chat."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_chat(self, token: AppToken, number: ChatNumber) -> ChatRow | None:
        rows = self._database.read(GET, (token, number))
        return _chat(rows[0]) if rows else None

    def existing_chats(
        self, chats: Collection[tuple[AppToken, ChatNumber]]
    ) -> set[tuple[AppToken, ChatNumber]]:
        by_token: dict[AppToken, list[ChatNumber]] = {}
        for token, number in chats:
            by_token.setdefault(token, []).append(number)
        existing: set[tuple[AppToken, ChatNumber]] = set()
        for token, numbers in by_token.items():
            for batch in batched(numbers, MAX_KEYS_PER_STATEMENT):
                sql = EXISTING.format(placeholders=placeholders(batch))
                existing.update(self._database.read(sql, (token, *batch)))
        return existing

    def list_chats(self, token: AppToken, page: PageRequest, limit: int) -> list[ChatRow]:
        sql = LIST.format(direction="ASC" if page.ascending else "DESC")
        before = NO_LIMIT if page.before is None else page.before
        rows = self._database.read(sql, (token, page.after or 0, before, limit))
        return [_chat(row) for row in rows]


def _chat(row: Row) -> ChatRow:
    number, revision, title, metadata, created_at, edited_at, deleted_at, key, count, last = row
    chat = Chat(
        number=number,
        revision=revision,
        title=title,
        metadata=from_db_metadata(metadata),
        created_at=from_db_time_not_null(created_at),
        edited_at=from_db_time(edited_at),
        deleted_at=from_db_time(deleted_at),
        idempotency_key=key,
    )
    return ChatRow(chat=chat, messages_count=count, last_message_number=last)
