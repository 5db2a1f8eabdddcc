"""Numbers that were passed over when a memory was lost: noted once, reported while still missing."""

from collections.abc import Iterable, Iterator

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.topic import Topic
from chalicelib.adapters.mysql.values import time_in
from chalicelib.domain.gaps import joined, size, without
from chalicelib.domain.numbering import Given
from chalicelib.domain.records import Numbers

# How many numbers one statement looks at, so that none comes near the read time-out.
STRIDE = 200_000

# A number beyond the last one closes the walk, so that the gap behind the last row shows too.
GAPS = """
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), %s) AS previous FROM (
    SELECT number FROM {table} WHERE {parent} = %s AND number > %s AND number <= %s
    UNION ALL SELECT %s
  ) AS used
) AS walk WHERE number > previous + 1 ORDER BY number
"""
NOTE = """
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (%s, %s, %s, %s, %s)
"""
RANGES = """
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = %s
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`
"""
ARRIVED = "SELECT number FROM messages WHERE chat_id = %s AND ({ranges}) ORDER BY number"
MAY_COME = """
SELECT a.chats_ceiling, a.chats_holder, a.chats_epoch, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= %s AND s.`last` >= %s AND s.`at` < %s
) FROM applications a WHERE a.token = %s AND a.deleted_at IS NULL
"""


class Skipped(Topic):
    """What is missing for good, and what may still be on its way."""

    def skipped(self, token: str, chat: int) -> list[Numbers]:
        rows = self._database.read(RANGES, (chat, token))
        if not rows:
            return []
        # Not a join: for one, servers walk the whole chat for every range.
        ranges = " OR ".join(["number BETWEEN %s AND %s"] * len(rows))
        bounds = tuple(bound for _, first, last in rows for bound in (first, last))
        arrived = self._database.read(ARRIVED.format(ranges=ranges), (rows[0][0], *bounds))
        noted = (Numbers(first, last) for _, first, last in rows)
        return list(without(noted, [number for (number,) in arrived]))

    def chat_may_come(self, token: str, number: int, chats: Given | None, since: str) -> bool:
        rows = self._database.read(MAY_COME, (number, number, time_in(since), token))
        if not rows:
            return False
        ceiling, holder, epoch, passed_over = rows[0]
        is_newest = chats is not None and (chats.holder, chats.epoch) == (holder, epoch)
        last = chats.last if chats and is_newest else ceiling
        return number <= last and not passed_over


def note_gaps(
    cursor: Cursor, application_id: int, chat_id: int | None, passed: tuple[int, int], at: str
) -> int:
    """Note which numbers above `passed[0]`, up to `passed[1]`, have no row, and say how many they are.

    Under the parent's lock.
    """
    gaps = joined(_gaps(cursor, application_id, chat_id, *passed))
    note(cursor, application_id, chat_id, gaps, at)
    return size(gaps)


def note(
    cursor: Cursor, application_id: int, chat_id: int | None, gaps: Iterable[Numbers], at: str
) -> None:
    """Note ranges of numbers. Under the parent's lock."""
    cursor.executemany(
        NOTE, [(application_id, chat_id, gap.first, gap.last, time_in(at)) for gap in gaps]
    )


def _gaps(
    cursor: Cursor, application_id: int, chat_id: int | None, floor: int, ceiling: int
) -> Iterator[Numbers]:
    if chat_id is None:
        sql, parent_id = GAPS.format(table="chats", parent="application_id"), application_id
    else:
        sql, parent_id = GAPS.format(table="messages", parent="chat_id"), chat_id
    for low in range(floor, ceiling, STRIDE):
        high = min(low + STRIDE, ceiling)
        cursor.execute(sql, (low, parent_id, low, high, high + 1))
        yield from (Numbers(first, last) for first, last in cursor.fetchall())
