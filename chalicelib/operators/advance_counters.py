"""After MySQL was restored from an older backup: no number that was issued since then is issued again.

A backup does not have what was issued after it. So the operator says how many numbers that can be, and each
counter of an application continues above them. The numbers in between are recorded as skipped; late records
may still bring some of them. Afterwards no counter has a lease. Epochs are raised too, so that no revision
is issued twice and no incarnation from before the restore is taken for the holder. Positions of the change
feed are raised with them: a client that followed a chat until the loss misses nothing that is stored later.

A late record may bring a chat that the backup does not have (`chalicelib/adapters/mysql/locking.py`,
`initial_lease`).
Tests: `tests/contract/test_mysql.py`, `tests/contract/test_restore_drill.py`.
"""

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.leases import record_missing, record_skipped
from chalicelib.adapters.mysql.locking import lock_applications, lock_chats
from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.models import AppToken
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.operators.scan import live_tokens

# Acquiring the next lease of a chat records the skipped numbers while a request waits.
MAX_BY = 100_000_000
CHATS_A_TRANSACTION = 100
# More leases than a counter has in 40 days: each needs an idle hour or a new incarnation.
EPOCHS = 1_000

FIND = "SELECT id FROM applications WHERE token = %s AND deleted_at IS NULL"
CHATS = """
SELECT number, id FROM chats WHERE application_id = %s AND number > %s AND deleted_at IS NULL
ORDER BY number LIMIT %s
"""
ADVANCE_APPLICATION = """
UPDATE applications
SET chats_floor = %s, chats_ceiling = %s, chats_holder = '', chats_epoch = chats_epoch + %s,
  chats_nonce = '', lost_chats = %s, lost_numbers = lost_numbers + %s, lost_epochs = lost_epochs + %s
WHERE id = %s
"""
ADVANCE_CHAT = """
UPDATE chats
SET messages_floor = %s, messages_ceiling = %s, messages_holder = '',
  messages_epoch = messages_epoch + %s, messages_nonce = '', last_position = last_position + %s
WHERE id = %s
"""


class AdvanceResult(msgspec.Struct, frozen=True):
    """How many applications there are, and how many chats they have."""

    applications: int
    chats: int


def advance_counters(store: MySqlStore, by: int, now: str) -> AdvanceResult:
    """Advance the counters of all applications. Raises `UnavailableError`.

    If it is interrupted, run it again: it advances some counters twice, which only skips more numbers.
    """
    counters = AdvanceCounters(store.database)
    applications = chats = 0
    for token in live_tokens(store.applications.list_tokens):
        chats += counters.advance(token, by, now)
        applications += 1
    return AdvanceResult(applications, chats)


class AdvanceCounters:
    """The counters of one application at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def advance(self, token: AppToken, by: int, now: str) -> int:
        """Advance all counters of an application by so many numbers. Returns how many chats it has.

        The application comes first: its row says how far a chat is advanced that a record brings later.
        """
        chats = 0
        for (application_id,) in self._database.read(FIND, (token,)):
            self._advance_application(application_id, by, now)
            after = 0
            while page := self._database.read(CHATS, (application_id, after, CHATS_A_TRANSACTION)):
                self._advance_chats(application_id, [id_ for _, id_ in page], by, now)
                after, chats = page[-1][0], chats + len(page)
        return chats

    def _advance_application(self, id_: int, by: int, now: str) -> None:
        def work(cursor: Cursor) -> None:
            for row in lock_applications(cursor, [id_]).values():
                ceiling = row.chats_ceiling + by
                skipped = [NumberRange(row.chats_ceiling + 1, ceiling)]
                record_missing(cursor, id_, None, row.chats_floor, row.chats_ceiling, now)
                record_skipped(cursor, id_, None, skipped, now)
                cursor.execute(
                    ADVANCE_APPLICATION, (ceiling, ceiling, EPOCHS, ceiling, by, EPOCHS, id_)
                )

        self._database.transact(work)

    def _advance_chats(self, application_id: int, ids: list[int], by: int, now: str) -> None:
        def work(cursor: Cursor) -> None:
            for row in lock_chats(cursor, ids).values():
                ceiling = row.messages_ceiling + by
                skipped = [NumberRange(row.messages_ceiling + 1, ceiling)]
                floor, old_ceiling = row.messages_floor, row.messages_ceiling
                record_missing(cursor, application_id, row.id, floor, old_ceiling, now)
                record_skipped(cursor, application_id, row.id, skipped, now)
                cursor.execute(ADVANCE_CHAT, (ceiling, ceiling, EPOCHS, by, row.id))

        self._database.transact(work)
