"""Remove, a little at a time, what deleted chats and applications held, and answers kept long enough."""

from chalicelib.domain.limits import IDEMPOTENCY_KEY_KEPT_SECONDS
from chalicelib.domain.records import PurgeRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import World

_ROWS_A_RUN = 10_000
# Records of a deleted chat may still be on their way to the index; the last removal comes after those that
# `index_messages` takes unasked.
LAST_REMOVAL_MS = 15 * 60_000


def purge_deleted(world: World) -> int:
    """How many chats and applications are now gone whole."""
    now = world.clock.now_ms()
    world.store.drop_answers(rfc3339(now - IDEMPOTENCY_KEY_KEPT_SECONDS * 1000), _ROWS_A_RUN)
    before = rfc3339(now - LAST_REMOVAL_MS)
    gone = world.store.purge(before, _ROWS_A_RUN)
    world.queues.send(PurgeRecord(token=token, chat=chat) for token, chat in gone)
    for token, chat in gone:
        if chat is None:
            world.ledger.erase_application(token)
    world.store.forget(gone)
    return len(gone)
