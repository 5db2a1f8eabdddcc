"""A page of 50 messages, in chats of a thousand, a hundred thousand and ten million messages."""

from collections.abc import Callable, Iterator

import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.messages import COLUMNS
from chalicelib.domain.paging import PageRequest
from tests.bench.api import MESSAGES
from tests.bench.flow import Flow, connection_to
from tests.bench.ground import Ground
from tests.bench.measure import by_turns, compared, many, plain
from tests.bench.rows import Row

SIZES = (1_000, 100_000, 10_000_000)
PAGE, ROUNDS, CALLS = 50, 25, 40
AT_ONCE = 100_000
FILL = """
INSERT INTO messages (chat_id, position, number, revision, sender, body, created_at)
SELECT %s, seq, seq, 4294967296 + seq, CONCAT('user', seq %% 50),
  CONCAT('message ', seq, ': has anyone here got the new kernel to boot on a laptop?'), UTC_TIMESTAMP(3)
FROM seq_{first}_to_{last}
"""
COUNT = """
UPDATE chats SET messages_count = %s, last_message_number = %s, last_position = %s, messages_floor = %s,
  messages_ceiling = %s WHERE id = %s
"""
RAW = f"""
SELECT {COLUMNS} FROM messages m
WHERE m.chat_id = %s AND m.number > %s AND m.number < %s AND m.deleted_at IS NULL
ORDER BY m.number LIMIT %s
"""


def page(ground: Ground) -> Iterator[Row]:
    """The store's page against the same rows by the chat's id, which the store has to find first.

    All chats lie in one table, so that each page is read beside ten million other messages.
    """
    flow, connection = Flow(ground, len(SIZES)), connection_to(ground)
    ids = flow.chat_ids(connection)
    for chat, size in zip(flow.chats, SIZES, strict=True):
        _fill(connection, ids[chat], size)
    for where in ("first", "middle", "last"):
        works: list[Callable[[], object]] = []
        for chat, size in zip(flow.chats, SIZES, strict=True):
            after = {"first": 0, "middle": size // 2, "last": size - PAGE}[where]
            asked = PageRequest(limit=PAGE, after=after)
            works.append(many(_ours(flow, chat, asked), CALLS))
            works.append(many(_raw(connection, ids[chat], after), CALLS))
        taken = [[took.wall / CALLS * 1e6 for took in some] for some in by_turns(works, ROUNDS)]
        for i, size in enumerate(SIZES):
            ours, raw = taken[2 * i], taken[2 * i + 1]
            yield compared(f"page, {where} of {size:,}", "µs", ours, raw, most=1.3)
        over = [max(some) / min(some) for some in zip(*taken[::2], strict=True)]
        yield plain(f"page, {where}, slowest size over fastest", "×", over, most=1.2)
    handler = [
        many(lambda: flow.api.ask(flow.api.get(MESSAGES, flow.chats[-1], limit="50")), CALLS)
    ]
    [answers] = by_turns(handler, ROUNDS)
    yield plain("page, whole handler", "µs", [took.wall / CALLS * 1e6 for took in answers])


def _ours(flow: Flow, chat: int, asked: PageRequest) -> Callable[[], None]:
    def read() -> None:
        found = flow.ports.store.messages.list_messages(flow.api.token, chat, asked, PAGE)
        assert len(found) == PAGE

    return read


def _raw(connection: "pymysql.Connection[Cursor]", chat_id: int, after: int) -> Callable[[], None]:
    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute(RAW, (chat_id, after, 2**62, PAGE))
            assert len(cursor.fetchall()) == PAGE

    return read


def _fill(connection: "pymysql.Connection[Cursor]", chat_id: int, size: int) -> None:
    with connection.cursor() as cursor:
        for first in range(1, size + 1, AT_ONCE):
            last = min(first + AT_ONCE - 1, size)
            cursor.execute(FILL.format(first=first, last=last), (chat_id,))
        cursor.execute(COUNT, (size,) * 5 + (chat_id,))
        connection.commit()
