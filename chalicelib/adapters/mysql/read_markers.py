"""Read markers and unread counts."""

from collections.abc import Mapping, Sequence

import msgspec

from chalicelib.adapters.mysql.database import NO_LIMIT, Database, placeholders
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.unread import ReadMarker, Span, UnpersistedChat, UnreadCount, span

# How far users have read. A marker is written by its request: it goes through no queue.

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


# How many messages lie above markers, found by counting what is not there.
#
# Deletions, and rows that arrived although their numbers were passed over, are counted in one statement,
# which sees one moment: a message that arrives as a deleted one is not taken away twice.

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

Query = tuple[str, tuple[int, ...]]
NOTHING: Query = ("0", ())


class Stored(msgspec.Struct):
    """What MySQL has of a chat; by default, no row."""

    id: int = 0
    last: int = 0
    deleted: bool = False
    passed_over: list[NumberRange] = []


class MySqlReadMarkers:
    """The markers of users in chats."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark_read(self, token: str, user: str, marker: ReadMarker, pending_last: int) -> None:
        asked = (user.encode(), marker.chat, marker.number, pending_last)
        self._database.transact(lambda cursor: cursor.execute(MOVE, (*asked, marker.chat, token)))

    def list_read_markers(
        self, token: str, user: str, page: PageRequest, limit: int
    ) -> list[ReadMarker]:
        sql = LIST.format(direction="ASC" if page.ascending else "DESC")
        before = NO_LIMIT if page.before is None else page.before
        bounds = (page.after or 0, before, limit)
        rows = self._database.read(sql, (user.encode(), token, *bounds))
        return [ReadMarker(chat, number) for chat, number in rows]

    def count_unread(
        self, token: str, markers: Sequence[ReadMarker], unpersisted: Mapping[int, UnpersistedChat]
    ) -> list[UnreadCount]:
        if not markers:
            return []
        stored = self._stored(token, [marker.chat for marker in markers])
        spans: list[tuple[int, Span]] = []
        for marker in markers:
            chat, redis = stored.get(marker.chat, Stored()), unpersisted[marker.chat]
            there = redis.known or chat.id
            if there and not (redis.gone or chat.deleted):
                spans.append((chat.id, span(marker, chat.last, chat.passed_over, redis)))
        return self._count(spans)

    def _stored(self, token: str, chats: Sequence[int]) -> dict[int, Stored]:
        found: dict[int, Stored] = {}
        rows = self._database.read(CHATS.format(placeholders=placeholders(chats)), (token, *chats))
        for number, id_, last, deleted, gap_first, gap_last in rows:
            chat = found.setdefault(number, Stored(id_, last, bool(deleted)))
            if gap_first is not None:
                chat.passed_over.append(NumberRange(gap_first, gap_last))
        return found

    def _count(self, spans: Sequence[tuple[int, Span]]) -> list[UnreadCount]:
        """Nothing is asked about chats without a row, and those that were read to their end."""
        asked = [
            _counts(at, chat_id, one)
            for at, (chat_id, one) in enumerate(spans)
            if chat_id and one.last > one.marker.number
        ]
        counts: dict[int, Sequence[int]] = {}
        if asked:
            sql = " UNION ALL ".join(sql for sql, _ in asked)
            rows = self._database.read(sql, tuple(arg for _, args in asked for arg in args))
            counts = {at: found for at, *found in rows}
        return [one.reading(*counts.get(at, ())) for at, (_, one) in enumerate(spans)]


def _counts(at: int, chat_id: int, one: Span) -> Query:
    deleted: Query = (DELETED, (chat_id, one.marker.number, one.last))
    both = arrived = NOTHING
    if one.deletions:
        both = (BOTH.format(placeholders=placeholders(one.deletions)), (chat_id, *one.deletions))
    if one.gaps:
        ranges = " OR ".join(["number BETWEEN %s AND %s"] * len(one.gaps))
        bounds = (bound for gap in one.gaps for bound in (gap.first, gap.last))
        arrived = (ARRIVED.format(ranges=ranges), (chat_id, *bounds))
    sql = COUNTS.format(deleted=deleted[0], both=both[0], arrived=arrived[0])
    return sql, (at, *deleted[1], *both[1], *arrived[1])
