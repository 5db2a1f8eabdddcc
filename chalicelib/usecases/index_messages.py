"""Index a batch of search records: one bulk request, then the removals."""

from collections.abc import Sequence

import msgspec

from chalicelib.domain.records import DocumentsRecord, PurgeRecord, SearchRecord
from chalicelib.usecases.ports import World


def index_messages(world: World, records: Sequence[SearchRecord]) -> None:
    """Raises `UnavailableError` where it can succeed later; newer revisions win, so order is free.

    A document that OpenSearch refuses for good goes to the dead-letter queue alone.
    """
    documents = [d for r in records if isinstance(r, DocumentsRecord) for d in r.documents]
    for document, reason in world.index.index(documents) if documents else []:
        body = msgspec.json.encode(DocumentsRecord(documents=[document])).decode()
        world.queues.bury("search", body, reason)
    for record in records:
        if isinstance(record, PurgeRecord):
            world.index.purge(record.token, record.chat)
