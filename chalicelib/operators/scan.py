"""Scan all live applications, or all messages of their live chats, in one order.

Reads hold no locks and see what is committed at their moment, so a scan of a system in use is not one
snapshot of it.
"""

from collections.abc import Collection, Iterator
from itertools import chain

import msgspec

from chalicelib.adapters.mysql.database import Database, Row, placeholders
from chalicelib.adapters.mysql.messages import COLUMNS, to_message
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.queue_records import Document
from chalicelib.usecases.rounds import ListTokens, token_pages

CHUNK_MESSAGES = 1_000
CHATS_A_CHUNK = 400
TOKENS_A_PAGE = 500
READ_TIMEOUT_SECONDS = 60

APPLICATIONS = """
SELECT id, token FROM applications WHERE deleted_at IS NULL AND token {from_} %s
ORDER BY token LIMIT %s
"""
CHATS = """
SELECT c.number, c.id,
  (SELECT COALESCE(MAX(m.number), 0) FROM messages m WHERE m.chat_id = c.id)
FROM chats c WHERE c.application_id = %s AND c.number > %s AND c.deleted_at IS NULL
ORDER BY c.number LIMIT %s
"""
MESSAGES = f"""
SELECT m.chat_id, {COLUMNS} FROM messages m
WHERE m.chat_id IN ({{placeholders}}) AND m.number > %s AND m.number <= %s
"""
REVISIONS = """
SELECT m.chat_id, m.number, m.revision FROM messages m
WHERE m.chat_id IN ({placeholders}) AND m.number > %s AND m.number <= %s
"""
ESTIMATED_TOTAL = """
SELECT COALESCE(SUM(c.last_message_number), 0) FROM chats c
JOIN applications a ON a.id = c.application_id
WHERE a.deleted_at IS NULL AND c.deleted_at IS NULL
"""
LAST_NUMBERS = """
SELECT a.token, c.number,
  (SELECT COALESCE(MAX(m.number), 0) FROM messages m WHERE m.chat_id = c.id)
FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.deleted_at IS NULL AND c.deleted_at IS NULL AND ({ranges})
"""
PENDING_PURGE_CHATS = """
SELECT a.token, c.number FROM applications a JOIN chats c ON c.application_id = a.id
WHERE c.deleted_at IS NOT NULL AND c.purged_at IS NULL AND ({ranges})
"""
PENDING_PURGE_APPLICATIONS = """
SELECT token FROM applications WHERE deleted_at IS NOT NULL AND token IN ({placeholders})
"""
# The names of locks belong to the server, not to the database.
LOCK_NAME = "CONCAT('ordinal-', %s, '-', LEFT(SHA2(DATABASE(), 256), 16))"
TAKE_LOCK = f"SELECT GET_LOCK({LOCK_NAME}, 0)"
HOLDS_LOCK = f"SELECT IS_USED_LOCK({LOCK_NAME}) = CONNECTION_ID()"

ChatKey = tuple[AppToken, ChatNumber]  # token, chat


class ScanPosition(msgspec.Struct, frozen=True, order=True):
    """A position in the scan: everything up to it is done. The default is before all messages."""

    token: AppToken = AppToken("")
    chat: int = 0
    number: int = 0


class Chunk(msgspec.Struct, frozen=True):
    """Messages that are handled together: those of some chats with `above` < number <= `up_to`.

    A chunk is a range of one big chat, or all messages of several small ones. `chats` are pairs of chat
    number and database id, in the order of the numbers.
    """

    token: AppToken
    chats: tuple[tuple[int, int], ...]
    above: int
    up_to: int

    @property
    def end(self) -> ScanPosition:
        return ScanPosition(self.token, self.chats[-1][0], self.up_to)


def live_tokens(list_tokens: ListTokens, only: AppToken | None = None) -> Iterator[AppToken]:
    """The token `only`, or the tokens of all applications that are not deleted, oldest first."""
    return iter([only]) if only is not None else chain.from_iterable(token_pages(list_tokens))


class MessageScanner:
    """Scans messages by token, chat and number: the order of the index.

    It has a connection of its own to the store at `url`, which also holds its locks.

    A lock is for work that must not run twice at once. It ends with the connection, so a killed process
    holds none.
    """

    def __init__(self, url: str, chunk_messages: int = CHUNK_MESSAGES) -> None:
        self._database = Database(url, READ_TIMEOUT_SECONDS)
        self._chunk_messages = chunk_messages

    def close(self) -> None:
        self._database.close()

    def take_lock(self, name: str) -> bool:
        """False if another process has it."""
        return self._database.read(TAKE_LOCK, (name,)) == [(1,)]

    def check_lock(self, name: str) -> None:
        """Raises `UnavailableError` if the lock was lost with the connection."""
        if self._database.read(HOLDS_LOCK, (name,)) != [(1,)]:
            raise UnavailableError(f"MySQL: the connection that held the lock {name} is lost")

    def estimated_total(self) -> int:
        """About how many messages there are."""
        return int(self._database.read(ESTIMATED_TOTAL)[0][0])

    def chunks(self, after: ScanPosition, only: AppToken | None = None) -> Iterator[Chunk]:
        """What comes after the position, of one application or of all."""
        for id_, token in self._applications(after.token):
            if only in (None, token):
                start = after if token == after.token else ScanPosition(token)
                yield from self._chunks_of(id_, token, start)

    def documents(self, chunk: Chunk) -> list[Document]:
        """All versions that MySQL has, deleted messages too."""
        numbers = {id_: number for number, id_ in chunk.chats}
        rows = self._database.read(*_for_chunk(MESSAGES, chunk))
        return [
            Document(
                token=chunk.token, chat=ChatNumber(numbers[row[0]]), message=to_message(row[1:])
            )
            for row in rows
        ]

    def revisions(self, chunk: Chunk) -> dict[tuple[int, int], int]:
        """The revision of each (chat, message)."""
        numbers = {id_: number for number, id_ in chunk.chats}
        rows = self._database.read(*_for_chunk(REVISIONS, chunk))
        return {(numbers[id_], number): revision for id_, number, revision in rows}

    def last_numbers(self, chats: Collection[ChatKey]) -> dict[ChatKey, int]:
        """The highest stored message number of each chat that exists and whose application exists."""
        rows = self._read_chats(LAST_NUMBERS, chats)
        return {(token, chat): int(last) for token, chat, last in rows}

    def pending_purge(self, chats: Collection[ChatKey]) -> set[ChatKey]:
        """The deleted chats whose documents are still to be removed from the index for the last time."""
        pending = {(token, chat) for token, chat in self._read_chats(PENDING_PURGE_CHATS, chats)}
        tokens = tuple({token for token, _ in chats})
        if not tokens:
            return pending
        rows = self._database.read(
            PENDING_PURGE_APPLICATIONS.format(placeholders=placeholders(tokens)), tokens
        )
        applications = {token for (token,) in rows}
        return pending | {key for key in chats if key[0] in applications}

    def _read_chats(self, sql: str, chats: Collection[ChatKey]) -> Iterator[Row]:
        numbers: dict[AppToken, list[ChatNumber]] = {}
        for token, chat in chats:
            numbers.setdefault(token, []).append(chat)
        for token, wanted in numbers.items():
            ranges = f"a.token = %s AND c.number IN ({placeholders(wanted)})"
            yield from self._database.read(sql.format(ranges=ranges), (token, *wanted))

    def _applications(self, first: str) -> Iterator[tuple[int, AppToken]]:
        sql = APPLICATIONS.format(from_=">=")
        while rows := self._database.read(sql, (first, TOKENS_A_PAGE)):
            yield from ((id_, token) for id_, token in rows)
            first, sql = rows[-1][1], APPLICATIONS.format(from_=">")

    def _chats(self, application_id: int, after: int) -> Iterator[tuple[int, int, int]]:
        while rows := self._database.read(CHATS, (application_id, after, CHATS_A_CHUNK)):
            yield from ((number, id_, int(last)) for number, id_, last in rows)
            after = rows[-1][0]

    def _chunks_of(
        self, application_id: int, token: AppToken, after: ScanPosition
    ) -> Iterator[Chunk]:
        """Ranges of the chat that the position is in, then whole chats, the small ones together."""
        limit = self._chunk_messages
        chats: list[tuple[int, int]] = []
        highest = size = 0
        for number, id_, last in self._chats(application_id, after.chat - 1):
            done = after.number if number == after.chat else 0
            if chats and (size + last > limit or len(chats) == CHATS_A_CHUNK):
                yield Chunk(token, tuple(chats), 0, highest)
                chats, highest, size = [], 0, 0
            if done or last > limit:
                for above in range(done, last, limit):
                    yield Chunk(token, ((number, id_),), above, min(above + limit, last))
            else:
                chats.append((number, id_))
                highest, size = max(highest, last), size + last
        if chats:
            yield Chunk(token, tuple(chats), 0, highest)


def _for_chunk(sql: str, chunk: Chunk) -> tuple[str, tuple[int, ...]]:
    ids = tuple(id_ for _, id_ in chunk.chats)
    return sql.format(placeholders=placeholders(ids)), (*ids, chunk.above, chunk.up_to)
