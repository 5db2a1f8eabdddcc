"""All messages of live chats of live applications, in order and a chunk at a time."""

from collections.abc import Collection, Iterator

import msgspec

from chalicelib.adapters.mysql.database import Database, Row, placeholders
from chalicelib.adapters.mysql.messages import COLUMNS, to_message
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.queue_records import Document

# Walking through all messages in one order: by token, by chat, by number.

ChatKey = tuple[str, int]  # token, chat


class ScanPosition(msgspec.Struct, frozen=True, order=True):
    """A place in the walk: everything up to it is done. The default is before all messages."""

    token: str = ""
    chat: int = 0
    number: int = 0


class Chunk(msgspec.Struct, frozen=True):
    """Messages that are handled together: those of some chats with `above` < number <= `up_to`.

    They are a range of one big chat, or all of several small ones. `chats` are numbers with the ids
    that they have in the database, in the order of the numbers.
    """

    token: str
    chats: tuple[tuple[int, int], ...]
    above: int
    up_to: int

    @property
    def end(self) -> ScanPosition:
        return ScanPosition(self.token, self.chats[-1][0], self.up_to)


# A lock that one process at a time can hold, for as long as its connection lasts.

# Names of locks are the server's, not the database's.
NAME = "CONCAT('ordinal-', %s, '-', LEFT(SHA2(DATABASE(), 256), 16))"
TAKE = f"SELECT GET_LOCK({NAME}, 0)"
HOLDS = f"SELECT IS_USED_LOCK({NAME}) = CONNECTION_ID()"


class Locks:
    """For work that must not run twice at once. A killed process lets go of its locks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_lock(self, name: str) -> bool:
        """False where another process has it."""
        return self._database.read(TAKE, (name,)) == [(1,)]

    def check_lock(self, name: str) -> None:
        """Raises `UnavailableError` where it was lost with the connection."""
        if self._database.read(HOLDS, (name,)) != [(1,)]:
            raise UnavailableError(f"MySQL: the connection that held the lock {name} is lost")


# All messages of live chats of live applications, in order and a slice at a time.
#
# For the operator's work on the search index; no request needs it. Reads hold no locks and see what is
# committed at their moment, so a walk through a system in use is not one picture of it.

SLICE_MESSAGES = 1_000
CHATS_AT_ONCE = 400
TOKENS_AT_ONCE = 500
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
EXPECTED = """
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
LEAVING_CHATS = """
SELECT a.token, c.number FROM applications a JOIN chats c ON c.application_id = a.id
WHERE c.deleted_at IS NOT NULL AND c.purged_at IS NULL AND ({ranges})
"""
LEAVING_APPLICATIONS = """
SELECT token FROM applications WHERE deleted_at IS NOT NULL AND token IN ({placeholders})
"""


class MessageScanner(Locks):
    """`url` is that of the store. Its connection is its own, and so are its locks."""

    def __init__(self, url: str, slice_messages: int = SLICE_MESSAGES) -> None:
        super().__init__(Database(url, READ_TIMEOUT_SECONDS))
        self._slice_messages = slice_messages

    def close(self) -> None:
        self._database.close()

    def expected(self) -> int:
        """About how many messages there are."""
        return int(self._database.read(EXPECTED)[0][0])

    def chunks(self, after: ScanPosition, only: str | None = None) -> Iterator[Chunk]:
        """What lies behind `after`: of one application, or of all."""
        for id_, token in self._applications(after.token):
            if only in (None, token):
                yield from self._slices(
                    id_, token, after if token == after.token else ScanPosition(token)
                )

    def documents(self, chunk: Chunk) -> list[Document]:
        """All states, deleted ones too."""
        numbers = {id_: number for number, id_ in chunk.chats}
        rows = self._database.read(*_of_slice(MESSAGES, chunk))
        return [
            Document(token=chunk.token, chat=numbers[row[0]], message=to_message(row[1:]))
            for row in rows
        ]

    def revisions(self, chunk: Chunk) -> dict[tuple[int, int], int]:
        """The revision of each (chat, message)."""
        numbers = {id_: number for number, id_ in chunk.chats}
        rows = self._database.read(*_of_slice(REVISIONS, chunk))
        return {(numbers[id_], number): revision for id_, number, revision in rows}

    def last_numbers(self, chats: Collection[ChatKey]) -> dict[ChatKey, int]:
        """The highest stored number of each chat that is live, and whose application is."""
        return {
            (token, chat): int(last) for token, chat, last in self._of_chats(LAST_NUMBERS, chats)
        }

    def leaving(self, chats: Collection[ChatKey]) -> set[ChatKey]:
        """Those that are deleted, and whose last removal from the index is still to come."""
        found = {(token, chat) for token, chat in self._of_chats(LEAVING_CHATS, chats)}
        tokens = tuple({token for token, _ in chats})
        if not tokens:
            return found
        rows = self._database.read(
            LEAVING_APPLICATIONS.format(placeholders=placeholders(tokens)), tokens
        )
        going = {token for (token,) in rows}
        return found | {key for key in chats if key[0] in going}

    def _of_chats(self, sql: str, chats: Collection[ChatKey]) -> Iterator[Row]:
        numbers: dict[str, list[int]] = {}
        for token, chat in chats:
            numbers.setdefault(token, []).append(chat)
        for token, wanted in numbers.items():
            ranges = f"a.token = %s AND c.number IN ({placeholders(wanted)})"
            yield from self._database.read(sql.format(ranges=ranges), (token, *wanted))

    def _applications(self, first: str) -> Iterator[tuple[int, str]]:
        sql = APPLICATIONS.format(from_=">=")
        while rows := self._database.read(sql, (first, TOKENS_AT_ONCE)):
            yield from ((id_, token) for id_, token in rows)
            first, sql = rows[-1][1], APPLICATIONS.format(from_=">")

    def _chats(self, application_id: int, after: int) -> Iterator[tuple[int, int, int]]:
        while rows := self._database.read(CHATS, (application_id, after, CHATS_AT_ONCE)):
            yield from ((number, id_, int(last)) for number, id_, last in rows)
            after = rows[-1][0]

    def _slices(self, application_id: int, token: str, after: ScanPosition) -> Iterator[Chunk]:
        """Ranges of the chat that the walk stands in, then whole chats, the small ones together."""
        most = self._slice_messages
        some: list[tuple[int, int]] = []
        highest = size = 0
        for number, id_, last in self._chats(application_id, after.chat - 1):
            done = after.number if number == after.chat else 0
            if some and (size + last > most or len(some) == CHATS_AT_ONCE):
                yield Chunk(token, tuple(some), 0, highest)
                some, highest, size = [], 0, 0
            if done or last > most:
                for above in range(done, last, most):
                    yield Chunk(token, ((number, id_),), above, min(above + most, last))
            else:
                some.append((number, id_))
                highest, size = max(highest, last), size + last
        if some:
            yield Chunk(token, tuple(some), 0, highest)


def _of_slice(sql: str, chunk: Chunk) -> tuple[str, tuple[int, ...]]:
    ids = tuple(id_ for _, id_ in chunk.chats)
    return sql.format(placeholders=placeholders(ids)), (*ids, chunk.above, chunk.up_to)
