"""Reading messages and their changes.

A follower of the change feed misses nothing: one statement sees one moment, and a position is issued under
the lock of the chat's row, which is held until the commit. So a reader that sees a position also sees all
lower ones, and nothing appears later below them. Tests: "changes" in `tests/contract/test_store.py`.

A page of large messages has far fewer than its limit, so not all of its bodies are read. Tests: "bodies" in
the same file.
"""

from collections.abc import Mapping, Sequence

from chalicelib.adapters.mysql.database import (
    NO_LIMIT,
    Database,
    Row,
    from_db_metadata,
    from_db_time,
    from_db_time_not_null,
    placeholders,
)
from chalicelib.adapters.mysql.locking import in_ranges
from chalicelib.domain.change_feed import Change, Since
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import AppToken, ChatNumber, Message, MessageNumber
from chalicelib.domain.paging import PageRequest, fit_to_response

COLUMNS = """
m.number, m.revision, m.body, m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key
"""
OF_CHAT = """
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = %s
JOIN messages m ON m.chat_id = c.id
"""
GET = f"""
SELECT {COLUMNS} {OF_CHAT}
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND m.number = %s
"""
# A longer body is not read before it is known to fit into the response. A page of shorter ones always fits.
MAX_CHARS_AT_ONCE = 2_000
SHORT_COLUMNS = COLUMNS.replace(
    "m.body", f"IF(CHAR_LENGTH(m.body) <= {MAX_CHARS_AT_ONCE}, m.body, NULL)"
)
BODY = 2
BODY_CHARS = "CHAR_LENGTH(m.body)"
# One range of the clustered index: by then, both joins are constants.
LIST = f"""
SELECT {{columns}} {OF_CHAT}
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND m.number > %s AND m.number < %s AND m.deleted_at IS NULL
ORDER BY m.number {{direction}} LIMIT %s
"""
CHAT_IDS = """
SELECT c.id, c.number FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND c.number IN ({placeholders})
"""
# Not joined with the chats: for a join, servers scan the whole chat for every range.
REVISIONS = "SELECT chat_id, number, revision FROM messages WHERE {ranges}"
CHAT_REVISIONS = """
SELECT c.number, c.revision FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = %s AND c.revision > 0 AND c.number IN ({placeholders})
"""

# The index is forced: otherwise a server may sort the whole chat.
LIST_CHANGES = """
SELECT {columns}, m.position
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = %s
JOIN messages m FORCE INDEX (messages_by_position) ON m.chat_id = c.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND (m.position > %s OR (m.position = %s AND m.number > %s))
ORDER BY m.position, m.number LIMIT %s
"""


class MySqlMessages:
    """Messages of one chat. A deleted chat, or one of a deleted application, has none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_message(
        self, token: AppToken, chat: ChatNumber, number: MessageNumber
    ) -> Message | None:
        rows = self._database.read(GET, (chat, token, number))
        return to_message(rows[0]) if rows else None

    def list_messages(
        self, token: AppToken, chat: ChatNumber, page: PageRequest, limit: int
    ) -> list[Message]:
        direction = "ASC" if page.ascending else "DESC"
        before = NO_LIMIT if page.before is None else page.before
        rows = self._read_page(LIST, (chat, token, page.after or 0, before), limit, direction)
        return [to_message(row) for row in rows]

    def revisions(self, numbers: Mapping[Counter, Sequence[int]]) -> dict[Counter, dict[int, int]]:
        stored: dict[Counter, dict[int, int]] = {counter: {} for counter in numbers}
        of_chats = {counter: own for counter, own in numbers.items() if own and counter.chat}
        for counter in numbers.keys() - of_chats:
            if own := numbers[counter]:
                sql = CHAT_REVISIONS.format(placeholders=placeholders(own))
                stored[counter].update(self._database.read(sql, (counter.token, *own)))
        if not of_chats:
            return stored
        [token] = {counter.token for counter in of_chats}
        chats = [counter.chat for counter in of_chats]
        sql = CHAT_IDS.format(placeholders=placeholders(chats))
        counters = {
            id_: Counter(token, chat) for id_, chat in self._database.read(sql, (token, *chats))
        }
        keys = [(id_, n) for id_, counter in counters.items() for n in of_chats[counter]]
        if keys:
            ranges, args = in_ranges("chat_id", keys)
            rows = self._database.read(REVISIONS.format(ranges=ranges), args)
            for id_, number, revision in rows:
                stored[counters[id_]][number] = revision
        return stored

    def list_changes(
        self, token: AppToken, chat: ChatNumber, since: Since, limit: int
    ) -> list[Change]:
        args = (chat, token, since.position, since.position, since.number)
        rows = self._read_page(LIST_CHANGES, args, limit)
        return [Change(row[-1], to_message(row[:-1])) for row in rows]

    def _read_page(
        self, sql: str, args: tuple[object, ...], limit: int, direction: str = ""
    ) -> list[Row]:
        """Up to `limit` rows: those that fit into a response, and one more if that is not all.

        If a long body was left out, only the rows that fit are read again. That statement alone is the
        result, so the page shows one moment. If edits have made the bodies shorter in between, the rows no
        longer show whether that is all, and the last statement reads all of them.
        """
        short, lengths, whole = (
            sql.format(columns=columns, direction=direction)
            for columns in (SHORT_COLUMNS, BODY_CHARS, COLUMNS)
        )
        rows = self._database.read(short, (*args, limit))
        if all(row[BODY] is not None for row in rows):
            return rows
        chars = [int(row[0]) for row in self._database.read(lengths, (*args, limit))]
        count = min(len(fit_to_response(chars, int)) + 1, limit)
        rows = self._database.read(whole, (*args, count))
        fitting = fit_to_response(rows, lambda row: len(row[BODY]))
        if count < limit and len(rows) == count == len(fitting):
            rows = self._database.read(whole, (*args, limit))
        return rows


def to_message(row: Row) -> Message:
    number, revision, body, sender, metadata, by_server, created_at, edited_at, deleted_at, key = (
        row
    )
    return Message(
        number=number,
        revision=revision,
        body=body,
        sender=sender,
        metadata=from_db_metadata(metadata),
        metadata_by_server=bool(by_server),
        created_at=from_db_time_not_null(created_at),
        edited_at=from_db_time(edited_at),
        deleted_at=from_db_time(deleted_at),
        idempotency_key=key,
    )
