"""Index persisted messages, and search them."""

import logging
import math
from collections.abc import Sequence
from itertools import batched

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.errors import DeadlineError, OrdinalError, UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import MESSAGES_INDEXED, RECORDS_DEAD_LETTERED
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.domain.queue_records import (
    Document,
    DocumentsRecord,
    PurgeRecord,
    RefusedDocument,
    SearchRecord,
)
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.search import Query, SearchPage, cost_of
from chalicelib.domain.times import Deadline, unix_ms
from chalicelib.usecases.maintenance import LAST_REMOVAL_MS
from chalicelib.usecases.ports import Ports, SearchIndex
from chalicelib.usecases.process_batch import log_subject
from chalicelib.usecases.read import NOTHING, read_pending, require_chat

logger = logging.getLogger(__name__)

# A document is late after a third of the time until the last removal. The rest is for clocks that differ, and
# for the bulk request itself.
_LATE_MS = LAST_REMOVAL_MS // 3
# The chats of one removal: far from OpenSearch's limit of 65,536 terms.
MAX_CHATS_PER_PURGE = 1_000


def index_messages(
    ports: Ports, records: Sequence[SearchRecord], deadline: Deadline
) -> dict[int, Exception]:
    """Index the documents of the records in one go, then do the removals.

    Returns the error of each record that is not done, by its index: OpenSearch may refuse a document for
    now, MySQL may not respond, and a removal may fail, or find no time (`DeadlineError`). A document that
    OpenSearch can never take goes to the dead-letter queue alone. The newest revision wins, so the order does
    not matter.

    Raises `OutageError` if OpenSearch does not respond, `UnavailableError` if it refuses the whole request.
    """
    errors = _index(ports, records, deadline)
    return errors | _purge(ports, records, deadline)


def remove_from_index(
    index: SearchIndex, token: AppToken, chats: Sequence[ChatNumber] | None
) -> None:
    """Remove all documents of some chats, or of an application (`chats` is None), whatever time it takes."""
    unlimited = Deadline(lambda: math.inf)
    _refresh(index, unlimited)
    _remove(index, token, chats, unlimited)


def search_messages(ports: Ports, tenant: Tenant, query: Query) -> Result[SearchPage]:
    """Search all chats of the application.

    Raises `InvalidError` for a broken cursor; `ForbiddenError` for a user who may not read all chats.
    """
    tenant.require_read(None)
    counter = Counter(tenant.token)
    pending_page = read_pending(ports, tenant, counter, NOTHING, cost=cost_of(query))
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
    query = replace(query, chat=chat)
    counter = Counter(tenant.token, chat)
    pending_page = read_pending(ports, tenant, counter, NOTHING, cost=cost_of(query))
    with remaining_on_errors(pending_page.remaining):
        require_chat(ports, tenant, chat, pending_page.known)
        return Result(ports.index.search(query), pending_page.remaining)


def _index(
    ports: Ports, records: Sequence[SearchRecord], deadline: Deadline
) -> dict[int, Exception]:
    errors: dict[int, Exception] = {}
    documents = _to_index(ports, records, errors)
    if not documents:
        return errors
    record_of = {id(document): i for i, document in documents}
    refused: dict[int, list[RefusedDocument]] = {}
    not_taken = ports.index.index([document for _, document in documents])
    ports.metrics.count(MESSAGES_INDEXED, len(documents) - len(not_taken))
    for item in not_taken:
        i = record_of[id(item.document)]
        if item.retryable:
            errors[i] = UnavailableError(f"OpenSearch: {item.reason}")
        else:
            refused.setdefault(i, []).append(item)
    for i, items in refused.items():
        if i not in errors:
            try:
                _dead_letter(ports, items, deadline)
            except OrdinalError as error:
                errors[i] = error
    return errors


def _dead_letter(ports: Ports, refused: Sequence[RefusedDocument], deadline: Deadline) -> None:
    """Put the refused documents of one record into the dead-letter queue, as one record."""
    _require_time(deadline)
    documents = [item.document for item in refused]
    body = msgspec.json.encode(DocumentsRecord(documents=documents)).decode()
    with deadline.step():
        ports.queues.dead_letter(
            "search", body, "; ".join(dict.fromkeys(i.reason for i in refused))
        )
    ports.metrics.count(RECORDS_DEAD_LETTERED, dimension="search")
    for document in documents:
        subject = log_subject(document.token, document.chat, [document.message])
        logger.error("refused by the index", extra=subject.fields())


def _purge(
    ports: Ports, records: Sequence[SearchRecord], deadline: Deadline
) -> dict[int, Exception]:
    """Do the removals: one refresh for all of them, then a request for each application.

    A removal is rare and may be large, so it gets no share of the time that documents need: what is not done
    before the deadline comes again.
    """
    by_token: dict[AppToken, dict[int, ChatNumber | None]] = {}
    for i, record in enumerate(records):
        if isinstance(record, PurgeRecord):
            by_token.setdefault(record.token, {})[i] = record.chat
    errors: dict[int, Exception] = {}
    is_fresh = False
    for token, chats in by_token.items():
        try:
            if not is_fresh:
                _refresh(ports.index, deadline)
                is_fresh = True
            numbers = {chat for chat in chats.values() if chat is not None}
            is_whole = None in chats.values()
            _remove(ports.index, token, None if is_whole else sorted(numbers), deadline)
        except OrdinalError as error:
            errors |= dict.fromkeys(chats, error)
    return errors


def _remove(
    index: SearchIndex, token: AppToken, chats: Sequence[ChatNumber] | None, deadline: Deadline
) -> None:
    """Remove what `index` has of some chats, or of an application. Raises `DeadlineError`."""
    for part in [None] if chats is None else batched(chats, MAX_CHATS_PER_PURGE):
        is_done = False
        while not is_done:
            _require_time(deadline)
            with deadline.step():
                is_done = index.purge(token, part)
            if not is_done:
                _refresh(index, deadline)


def _refresh(index: SearchIndex, deadline: Deadline) -> None:
    _require_time(deadline)
    with deadline.step():
        index.refresh()


def _require_time(deadline: Deadline) -> None:
    if not deadline.allows_step():
        raise DeadlineError("there was no time for this")


def _to_index(
    ports: Ports, records: Sequence[SearchRecord], errors: dict[int, Exception]
) -> list[tuple[int, Document]]:
    """All documents with the indexes of their records, without late ones of chats that do not exist any more.

    A document may come from a queue that stood still, or from the dead-letter queue. If it comes after the
    last removal of its chat, it would stay in the index for ever. So MySQL decides about late documents. If
    MySQL does not, their records get its error, and no others.
    """
    numbered = {
        i: record for i, record in enumerate(records) if isinstance(record, DocumentsRecord)
    }
    late_before = ports.clock.now_ms() - _LATE_MS
    late = {
        i: {(document.token, document.chat) for document in record.documents}
        for i, record in numbered.items()
        if not record.stored_at or unix_ms(record.stored_at) < late_before
    }
    chats = {chat for chats in late.values() for chat in chats}
    try:
        removed = chats - ports.store.chats.existing_chats(chats) if chats else chats
    except OrdinalError as error:
        errors |= dict.fromkeys(late, error)
        removed = set()
    return [
        (i, document)
        for i, record in numbered.items()
        if i not in errors
        for document in record.documents
        if i not in late or (document.token, document.chat) not in removed
    ]
