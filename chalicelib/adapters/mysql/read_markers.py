"""Read markers, and how many messages are above them.

The request writes its marker to MySQL at once: no queue is involved.

Unread messages are counted by what is missing (`domain/unread.py`). Deletions, and rows that arrived with a
skipped number, are counted in one statement, which sees one moment. So a message that arrives as a deleted
one is not subtracted twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import batched

import msgspec

from chalicelib.adapters.mysql.database import (
    MAX_RANGES,
    NO_LIMIT,
    Database,
    in_number_ranges,
    placeholders,
)
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.unread import (
    ReadMarker,
    UnpersistedChat,
    UnreadCount,
    UnreadWindow,
    unread_window,
)

# At READ COMMITTED, this SELECT takes no locks, so a request does not wait for the workers here.
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
CHATS = """
SELECT c.number, c.id, c.last_message_number, c.deleted_at IS NOT NULL, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id
LEFT JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.number IN ({placeholders})
ORDER BY c.number, s.`first`
"""
DELETED = """
SELECT COUNT(*) FROM deleted_messages WHERE chat_id = %s AND number > %s AND number <= %s
"""
BOTH = "SELECT COUNT(*) FROM deleted_messages WHERE chat_id = %s AND number IN ({placeholders})"
ARRIVED = "SELECT COUNT(*) FROM messages WHERE chat_id = %s AND ({ranges})"
COUNTS = "SELECT %s, ({deleted}), ({both}), ({arrived})"

# The arguments of one statement. A page of chats without many skipped ranges is one statement.
MAX_ARGS = 5_000

# A statement, or a part of one, with its arguments.
Statement = tuple[str, tuple[int, ...]]
ZERO: Statement = ("0", ())


class StoredChat(msgspec.Struct):
    """What MySQL has of a chat. The defaults are those of a chat without a row."""

    id: int = 0
    last: int = 0
    deleted: bool = False
    skipped: list[NumberRange] = []


class MySqlReadMarkers:
    """The read markers of users, and the unread counts above them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark_read(self, token: AppToken, user: str, marker: ReadMarker, pending_last: int) -> None:
        args = (user.encode(), marker.chat, marker.number, pending_last, marker.chat, token)
        self._database.transact(lambda cursor: cursor.execute(MOVE, args))

    def list_read_markers(
        self, token: AppToken, user: str, page: PageRequest, limit: int
    ) -> list[ReadMarker]:
        sql = LIST.format(direction="ASC" if page.ascending else "DESC")
        before = NO_LIMIT if page.before is None else page.before
        bounds = (page.after or 0, before, limit)
        rows = self._database.read(sql, (user.encode(), token, *bounds))
        return [ReadMarker(chat, number) for chat, number in rows]

    def count_unread(
        self,
        token: AppToken,
        markers: Sequence[ReadMarker],
        unpersisted: Mapping[ChatNumber, UnpersistedChat],
    ) -> list[UnreadCount]:
        if not markers:
            return []
        stored_chats = self._stored_chats(token, [marker.chat for marker in markers])
        windows: list[tuple[int, UnreadWindow]] = []
        for marker in markers:
            stored = stored_chats.get(marker.chat, StoredChat())
            redis = unpersisted[marker.chat]
            exists = redis.known or stored.id
            if exists and not (redis.gone or stored.deleted):
                window = unread_window(marker, stored.last, stored.skipped, redis)
                windows.append((stored.id, window))
        return self._count(windows)

    def _stored_chats(self, token: AppToken, numbers: Sequence[int]) -> dict[int, StoredChat]:
        chats: dict[int, StoredChat] = {}
        sql = CHATS.format(placeholders=placeholders(numbers))
        rows = self._database.read(sql, (token, *numbers))
        for number, id_, last, deleted, first_skipped, last_skipped in rows:
            chat = chats.setdefault(number, StoredChat(id_, last, bool(deleted)))
            if first_skipped is not None:
                chat.skipped.append(NumberRange(first_skipped, last_skipped))
        return chats

    def _count(self, windows: Sequence[tuple[int, UnreadWindow]]) -> list[UnreadCount]:
        """Chats without a row, and chats that are read to their end, need no statement."""
        statements = [
            _count_statement(index, chat_id, window)
            for index, (chat_id, window) in enumerate(windows)
            if chat_id and window.last > window.marker.number
        ]
        counts: dict[int, Sequence[int]] = {}
        for group in _grouped(statements):
            sql = " UNION ALL ".join(sql for sql, _ in group)
            rows = self._database.read(sql, tuple(arg for _, args in group for arg in args))
            counts |= {index: row for index, *row in rows}
        return [window.count(*counts.get(index, ())) for index, (_, window) in enumerate(windows)]


def _grouped(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """The statements in groups that run as one: each with at most `MAX_ARGS`, unless it is one statement."""
    group: list[Statement] = []
    count = 0
    for statement in statements:
        count += len(statement[1])
        if group and count > MAX_ARGS:
            yield group
            group, count = [], len(statement[1])
        group.append(statement)
    if group:
        yield group


def _count_statement(index: int, chat_id: int, window: UnreadWindow) -> Statement:
    """Selects `index` and the arguments of `UnreadWindow.count`."""
    deleted: Statement = (DELETED, (chat_id, window.marker.number, window.last))
    both = arrived = ZERO
    if window.deletions:
        sql = BOTH.format(placeholders=placeholders(window.deletions))
        both = (sql, (chat_id, *window.deletions))
    if window.skipped:
        parts = [in_number_ranges(part) for part in batched(window.skipped, MAX_RANGES)]
        sql = ") + (".join(ARRIVED.format(ranges=ranges) for ranges, _ in parts)
        arrived = (sql, tuple(arg for _, bounds in parts for arg in (chat_id, *bounds)))
    sql = COUNTS.format(deleted=deleted[0], both=both[0], arrived=arrived[0])
    return sql, (index, *deleted[1], *both[1], *arrived[1])
