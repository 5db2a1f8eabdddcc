"""Index persisted messages, and search them."""

import logging
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import remaining_on_errors
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import MESSAGES_INDEXED, RECORDS_DEAD_LETTERED
from chalicelib.domain.queue_records import Document, DocumentsRecord, PurgeRecord, SearchRecord
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.search import Query, SearchPage
from chalicelib.domain.times import unix_ms
from chalicelib.usecases.log_subjects import log_subject
from chalicelib.usecases.maintenance import LAST_REMOVAL_MS
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import NOTHING, read_pending, require_chat

# Index a batch of search records: one bulk request, then the removals.
#
# What belongs to a chat that was deleted since would stay for ever where it comes after the last removal:
# from a queue that stood still, or from the dead-letter queue. So MySQL is asked about what is late.

logger = logging.getLogger(__name__)

# The rest of the time is for clocks that differ, and for the bulk request itself.
_LATE_MS = LAST_REMOVAL_MS // 3


def index_messages(ports: Ports, records: Sequence[SearchRecord]) -> None:
    """Raises `UnavailableError` where it can succeed later; newer revisions win, so order is free.

    A document that OpenSearch refuses for good goes to the dead-letter queue alone.
    """
    documents = _wanted(ports, [r for r in records if isinstance(r, DocumentsRecord)])
    refused = ports.index.index(documents) if documents else []
    for document, reason in refused:
        body = msgspec.json.encode(DocumentsRecord(documents=[document])).decode()
        ports.queues.dead_letter("search", body, reason)
        identity = log_subject(document.token, document.chat, [document.message])
        logger.error("refused by the index and buried", extra=identity.fields())
    ports.metrics.count(RECORDS_DEAD_LETTERED, len(refused), dimension="search")
    ports.metrics.count(MESSAGES_INDEXED, len(documents) - len(refused))
    for record in records:
        if isinstance(record, PurgeRecord):
            ports.index.purge(record.token, record.chat)


def _wanted(ports: Ports, records: Sequence[DocumentsRecord]) -> list[Document]:
    """All documents, but for late ones of chats that are not there any more."""
    late_before = ports.clock.now_ms() - _LATE_MS
    late = {
        (document.token, document.chat)
        for record in records
        if not record.stored_at or unix_ms(record.stored_at) < late_before
        for document in record.documents
    }
    gone = late - ports.store.chats.existing_chats(late) if late else late
    return [d for r in records for d in r.documents if (d.token, d.chat) not in gone]


def search_messages(ports: Ports, tenant: Tenant, query: Query) -> Result[SearchPage]:
    """Search all chats of the application.

    Raises `InvalidError` for a broken cursor; `ForbiddenError` for a user who may not read all chats.
    """
    tenant.require_read(None)
    pending_page = read_pending(ports, tenant, Counter(tenant.token), NOTHING)
    with remaining_on_errors(pending_page.remaining):
        return Result(ports.index.search(query), pending_page.remaining)


def search_chat_messages(
    ports: Ports, tenant: Tenant, chat: int, query: Query
) -> Result[SearchPage]:
    """Search one chat.

    Raises `NotFoundError`, `GoneError` for the chat; `InvalidError` for a broken cursor; `ForbiddenError`
    for a user who may not read the chat.
    """
    tenant.require_read(chat)
    pending_page = read_pending(ports, tenant, Counter(tenant.token, chat), NOTHING)
    with remaining_on_errors(pending_page.remaining):
        require_chat(ports, tenant, chat, pending_page.known)
        return Result(ports.index.search(replace(query, chat=chat)), pending_page.remaining)
