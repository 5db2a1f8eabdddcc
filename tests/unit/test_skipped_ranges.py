"""However many ranges a chat has skipped, no statement has more than a few thousand arguments."""

from typing import Any

import pytest

from chalicelib.adapters.mysql.leases import MySqlLeases
from chalicelib.adapters.mysql.read_markers import MAX_ARGS, MySqlReadMarkers
from chalicelib.domain.unread import ReadMarker, UnpersistedChat

MAX_RANGES = 500


class Recorder:
    """Replaces the database: each chat has so many skipped ranges. Notes the statements after the first."""

    def __init__(self, chats: int, ranges: int) -> None:
        self._chats, self._ranges = chats, ranges
        self.statements: list[tuple[str, tuple[Any, ...]]] = []

    def read(self, sql: str, args: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if "skipped_numbers" not in sql:
            self.statements.append((sql, args))
            return []
        bounds = [(2 * n, 2 * n) for n in range(1, self._ranges + 1)]
        if "last_message_number" in sql:
            last = 2 * self._ranges + 1
            return [(c, c, last, 0, *b) for c in range(1, self._chats + 1) for b in bounds]
        return [(1, *b) for b in bounds]


def most_ranges(sql: str) -> int:
    """The most ranges in one condition."""
    return max(part.count("BETWEEN") for part in sql.split("SELECT"))


def test_skipped_numbers_are_read_in_bounded_statements() -> None:
    database: Any = Recorder(1, 10_001)
    skipped = MySqlLeases(database).skipped_numbers("t", 1)
    assert len(skipped) == 10_001
    assert len(database.statements) == 21
    assert all(most_ranges(sql) <= MAX_RANGES for sql, _ in database.statements)


@pytest.mark.parametrize(("chats", "ranges"), [(100, 1), (100, 600), (3, 10_001)])
def test_unread_messages_are_counted_in_bounded_statements(chats: int, ranges: int) -> None:
    database: Any = Recorder(chats, ranges)
    markers = [ReadMarker(chat, 0) for chat in range(1, chats + 1)]
    unpersisted = {marker.chat: UnpersistedChat(known=True) for marker in markers}
    counts = MySqlReadMarkers(database).count_unread("t", markers, unpersisted)
    assert len(counts) == chats
    assert all(most_ranges(sql) <= MAX_RANGES for sql, _ in database.statements)
    assert all(
        len(args) <= MAX_ARGS or sql.count("UNION ALL") == 0 for sql, args in database.statements
    )
    assert len(database.statements) == (1 if ranges == 1 else len(database.statements))
