"""Index a batch of search records: one bulk request, then the removals."""

import logging
from collections.abc import Sequence

import msgspec

from chalicelib.domain.identity import identity_of
from chalicelib.domain.metrics import MESSAGES_INDEXED, RECORDS_BURIED
from chalicelib.domain.records import DocumentsRecord, PurgeRecord, SearchRecord
from chalicelib.usecases.ports import World

logger = logging.getLogger(__name__)


def index_messages(world: World, records: Sequence[SearchRecord]) -> None:
    """Raises `UnavailableError` where it can succeed later; newer revisions win, so order is free.

    A document that OpenSearch refuses for good goes to the dead-letter queue alone.
    """
    documents = [d for r in records if isinstance(r, DocumentsRecord) for d in r.documents]
    refused = world.index.index(documents) if documents else []
    for document, reason in refused:
        body = msgspec.json.encode(DocumentsRecord(documents=[document])).decode()
        world.queues.bury("search", body, reason)
        identity = identity_of(document.token, document.chat, [document.message])
        logger.error("refused by the index and buried", extra=identity.fields())
    world.meter.count(RECORDS_BURIED, len(refused), of="search")
    world.meter.count(MESSAGES_INDEXED, len(documents) - len(refused))
    for record in records:
        if isinstance(record, PurgeRecord):
            world.index.purge(record.token, record.chat)
