"""Index persisted messages, and search them."""

import logging
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import MESSAGES_INDEXED, RECORDS_DEAD_LETTERED
from chalicelib.domain.models import ChatNumber
from chalicelib.domain.queue_records import Document, DocumentsRecord, PurgeRecord, SearchRecord
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.search import Query, SearchPage
from chalicelib.domain.times import unix_ms
from chalicelib.usecases.maintenance import LAST_REMOVAL_MS
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import log_subject
from chalicelib.usecases.read import NOTHING, read_pending, require_chat

logger = logging.getLogger(__name__)

# A document is late after a third of the time until the last removal. The rest is for clocks that differ, and
# for the bulk request itself.
_LATE_MS = LAST_REMOVAL_MS // 3


def index_messages(ports: Ports, records: Sequence[SearchRecord]) -> None:
    """Index a batch of search records: one bulk request, then the removals.

    Raises `UnavailableError` if a retry can succeed. The newest revision wins, so the order does not matter.
    A document that OpenSearch can never take goes to the dead-letter queue alone.
    """
    documents = _to_index(ports, [r for r in records if isinstance(r, DocumentsRecord)])
    refused = ports.index.index(documents) if documents else []
    for item in refused:
        document = item.document
        body = msgspec.json.encode(DocumentsRecord(documents=[document])).decode()
        ports.queues.dead_letter("search", body, item.reason)
        subject = log_subject(document.token, document.chat, [document.message])
        logger.error("refused by the index", extra=subject.fields())
    ports.metrics.count(RECORDS_DEAD_LETTERED, len(refused), dimension="search")
    ports.metrics.count(MESSAGES_INDEXED, len(documents) - len(refused))
    for record in records:
        if isinstance(record, PurgeRecord):
            ports.index.purge(record.token, record.chat)


def search_messages(ports: Ports, tenant: Tenant, query: Query) -> Result[SearchPage]:
    """Search all chats of the application.

    Raises `InvalidError` for a broken cursor; `ForbiddenError` for a user who may not read all chats.
    """
    tenant.require_read(None)
    pending_page = read_pending(ports, tenant, Counter(tenant.token), NOTHING)
    with remaining_on_errors(pending_page.remaining):
        return Result(ports.index.search(query), pending_page.remaining)


def search_chat_messages(
    ports: Ports, tenant: Tenant, chat: ChatNumber, query: Query
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


def _to_index(ports: Ports, records: Sequence[DocumentsRecord]) -> list[Document]:
    """All documents, without late ones of chats that do not exist any more.

    A document may come from a queue that stood still, or from the dead-letter queue. If it comes after the
    last removal of its chat, it would stay in the index for ever. So MySQL decides about late documents.
    """
    late_before = ports.clock.now_ms() - _LATE_MS
    late = {
        (document.token, document.chat)
        for record in records
        if not record.stored_at or unix_ms(record.stored_at) < late_before
        for document in record.documents
    }
    removed = late - ports.store.chats.existing_chats(late) if late else late
    return [
        document
        for record in records
        for document in record.documents
        if (document.token, document.chat) not in removed
    ]
