"""After a restore from an older backup: no number that was given since is given again.

The backup does not know what was given after it, so the operator says how much that can be, and every
counter of an application goes on above it. What is passed over is noted as skipped; late records may
still bring some of it. Nobody holds a lease afterwards, and epochs go up as well, so that no revision
comes twice and no caller from before the restore is taken for the holder. Positions of changes go up with
them: who followed a chat until the loss misses nothing that is stored after it.

A chat that the backup does not have may come back with a late record (`locking.initial_lease`).
Tests: `tests/contract/test_mysql.py`, `tests/contract/test_restore_drill.py`.
"""

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database
from chalicelib.adapters.mysql.leases import record_missing, record_skipped
from chalicelib.adapters.mysql.locking import lock_applications, lock_chats
from chalicelib.domain.number_ranges import NumberRange

CHATS_AT_ONCE = 100
# More leases than a counter begins in 40 days: an hour of quiet, or a loss of memory, lies between two.
EPOCHS = 1_000

FIND = "SELECT id FROM applications WHERE token = %s AND deleted_at IS NULL"
CHATS = """
SELECT number, id FROM chats WHERE application_id = %s AND number > %s AND deleted_at IS NULL
ORDER BY number LIMIT %s
"""
LIFT_APPLICATION = """
UPDATE applications
SET chats_floor = %s, chats_ceiling = %s, chats_holder = '', chats_epoch = chats_epoch + %s,
  chats_nonce = '', lost_chats = %s, lost_numbers = lost_numbers + %s, lost_epochs = lost_epochs + %s
WHERE id = %s
"""
LIFT_CHAT = """
UPDATE chats
SET messages_floor = %s, messages_ceiling = %s, messages_holder = '',
  messages_epoch = messages_epoch + %s, messages_nonce = '', last_position = last_position + %s
WHERE id = %s
"""


class AdvanceCounters:
    """For the operator; no request needs it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def advance(self, token: str, by: int, at: str) -> int:
        """Lift all counters of an application by so many numbers. Returns how many chats it has.

        The application first: a chat that comes back meanwhile is lifted as it comes. Cut off and run
        again, it lifts some a second time, which skips more and spoils nothing.
        """
        chats = 0
        for (application_id,) in self._database.read(FIND, (token,)):
            self._lift_application(application_id, by, at)
            after = 0
            while page := self._database.read(CHATS, (application_id, after, CHATS_AT_ONCE)):
                self._lift_chats(application_id, [id_ for _, id_ in page], by, at)
                after, chats = page[-1][0], chats + len(page)
        return chats

    def _lift_application(self, id_: int, by: int, at: str) -> None:
        def work(cursor: Cursor) -> None:
            for row in lock_applications(cursor, [id_]).values():
                top = row.chats_ceiling + by
                record_missing(cursor, id_, None, row.chats_floor, row.chats_ceiling, at)
                record_skipped(cursor, id_, None, [NumberRange(row.chats_ceiling + 1, top)], at)
                cursor.execute(LIFT_APPLICATION, (top, top, EPOCHS, top, by, EPOCHS, id_))

        self._database.transact(work)

    def _lift_chats(self, application_id: int, ids: list[int], by: int, at: str) -> None:
        def work(cursor: Cursor) -> None:
            for row in lock_chats(cursor, ids).values():
                top = row.messages_ceiling + by
                floor, ceiling = row.messages_floor, row.messages_ceiling
                record_missing(cursor, application_id, row.id, floor, ceiling, at)
                record_skipped(
                    cursor, application_id, row.id, [NumberRange(row.messages_ceiling + 1, top)], at
                )
                cursor.execute(LIFT_CHAT, (top, top, EPOCHS, by, row.id))

        self._database.transact(work)
