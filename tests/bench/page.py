"""A page of 50 messages of chats with a thousand, a hundred thousand and ten million messages."""

from collections.abc import Callable, Iterator

import pymysql
import redis
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.messages import COLUMNS
from chalicelib.adapters.redis.codec import counter_key
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.paging import PageRequest
from tests.bench.api import MESSAGES
from tests.bench.harness import Harness
from tests.bench.measure import by_turns, compared, many, plain
from tests.bench.pipeline import Pipeline, connection_to
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


def page(harness: Harness) -> Iterator[Row]:
    """The page of the store. The floor reads the same rows by the id of the chat, without a look-up.

    All chats share one table, so each page is read beside ten million other messages.
    """
    pipeline, connection = Pipeline(harness, len(SIZES)), connection_to(harness)
    ids = pipeline.chat_ids(connection)
    for chat, size in zip(pipeline.chats, SIZES, strict=True):
        _fill(connection, ids[chat], size)
    _advance_counters(harness, pipeline)
    for part in ("first", "middle", "last"):
        works: list[Callable[[], object]] = []
        for chat, size in zip(pipeline.chats, SIZES, strict=True):
            after = {"first": 0, "middle": size // 2, "last": size - PAGE}[part]
            page_request = PageRequest(limit=PAGE, after=after)
            works.append(many(_ours(pipeline, chat, page_request), CALLS))
            works.append(many(_raw(connection, ids[chat], after), CALLS))
        taken = [[took.wall / CALLS * 1e6 for took in rounds] for rounds in by_turns(works, ROUNDS)]
        for i, size in enumerate(SIZES):
            ours, raw = taken[2 * i], taken[2 * i + 1]
            yield compared(f"page, {part} of {size:,}", "µs", ours, raw, most=1.3)
        ratios = [max(sizes) / min(sizes) for sizes in zip(*taken[::2], strict=True)]
        yield plain(f"page, {part}, slowest size over fastest", "×", ratios, most=1.2)
    handler = [
        many(
            lambda: pipeline.api.send(pipeline.api.get(MESSAGES, pipeline.chats[-1], limit="50")),
            CALLS,
        )
    ]
    [responses] = by_turns(handler, ROUNDS)
    yield plain("page, whole handler", "µs", [took.wall / CALLS * 1e6 for took in responses])


def _advance_counters(harness: Harness, pipeline: Pipeline) -> None:
    """Let Redis have issued the numbers of the rows. Otherwise each page reads Redis twice."""
    with redis.Redis.from_url(harness.redis_url) as client:
        for chat, size in zip(pipeline.chats, SIZES, strict=True):
            counter = Counter(AppToken(pipeline.api.token), ChatNumber(chat))
            client.hset(counter_key(counter), mapping={"last": size, "ceiling": size})


def _ours(pipeline: Pipeline, chat: int, page_request: PageRequest) -> Callable[[], None]:
    def read() -> None:
        messages = pipeline.ports.store.messages.list_messages(
            AppToken(pipeline.api.token), ChatNumber(chat), page_request, PAGE
        )
        assert len(messages) == PAGE

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
