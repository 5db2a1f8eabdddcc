"""Persist a batch of message records: one transaction, then the search queue, then Redis."""

import logging
from collections.abc import Sequence
from itertools import batched

from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.identity import of_revisions
from chalicelib.domain.metrics import LEASES_RAISED, MESSAGES_PERSISTED
from chalicelib.domain.numbering import Counter
from chalicelib.domain.records import Document, DocumentsRecord, Lease, MessagesRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import World
from chalicelib.usecases.record_log import told

logger = logging.getLogger(__name__)

_DOCUMENTS_A_RECORD = 250


def persist_messages(world: World, records: Sequence[MessagesRecord]) -> None:
    """Everything is stored and on the way to the index when this returns.

    Raises `UnavailableError` where it can succeed later, also when the commit went through but the
    search queue did not answer: storing twice changes nothing, and never indexing must not happen.
    Raises `PoisonError` where the batch holds something that can never be stored.
    """
    now = rfc3339(world.clock.now_ms())
    persisted = world.store.persist_messages(records, world.lease_window)
    by_token: dict[str, list[Document]] = {}
    for token, chat, message in persisted.documents:
        by_token.setdefault(token, []).append(Document(token=token, chat=chat, message=message))
    world.queues.send(
        DocumentsRecord(documents=list(part), stored_at=now)
        for documents in by_token.values()
        for part in batched(documents, _DOCUMENTS_A_RECORD)
    )
    world.meter.count(MESSAGES_PERSISTED, len(persisted.documents))
    tell_redis(world, persisted.settled, persisted.raised)


def tell_redis(
    world: World,
    settled: dict[Counter, dict[int, int]],
    raised: Sequence[tuple[Counter, Lease]],
) -> None:
    """Raise leases and drop what is persisted from the pending states.

    What fails here is made good later: by the repair, and by the next request at the ceiling.
    """
    try:
        for counter, lease in raised:
            world.ledger.raise_lease(counter, lease)
            world.meter.count(LEASES_RAISED)
        world.ledger.settle(settled)
    except UnavailableError as error:
        for counter, revisions in settled.items():
            identity = of_revisions(counter.token, counter.chat, revisions)
            fields = {**identity.fields(), **told(error)}
            logger.warning("persisted, but Redis was not told", extra=fields)
