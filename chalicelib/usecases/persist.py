"""Persist a batch of records: one transaction in MySQL, then the search queue, then Redis."""

import logging
from collections.abc import Sequence
from itertools import batched

from msgspec.structs import replace

from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import CHATS_PERSISTED, LEASES_EXTENDED, MESSAGES_PERSISTED
from chalicelib.domain.models import AppToken, ChatNumber, Lease, Timestamp
from chalicelib.domain.queue_records import (
    ChatsRecord,
    Document,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import LogSubject, error_fields, log_subject_of_revisions

logger = logging.getLogger(__name__)

# A record on the search queue holds at most so many documents, all of one application.
MAX_DOCUMENTS_PER_RECORD = 250


def persist_messages(ports: Ports, records: Sequence[MessagesRecord]) -> None:
    """When this returns, everything is stored and on its way to the index.

    Raises `UnavailableError` if a retry can succeed, also if the commit succeeded but the search queue did
    not respond (`OutageError`): storing twice changes nothing, but a message that is never indexed is a
    defect. Raises `PoisonError` if the batch holds something that can never be stored.
    """
    now = rfc3339(ports.clock.now_ms())
    persisted = ports.store.persistence.persist_messages(records, ports.lease_window)
    by_token: dict[AppToken, list[Document]] = {}
    for document in persisted.documents:
        by_token.setdefault(document.token, []).append(document)
    ports.queues.send(
        DocumentsRecord(documents=list(part), stored_at=now)
        for documents in by_token.values()
        for part in batched(documents, MAX_DOCUMENTS_PER_RECORD)
    )
    ports.metrics.count(MESSAGES_PERSISTED, len(persisted.documents))
    _publish_to_redis(ports, persisted.acknowledged, persisted.extended)


def persist_chats(ports: Ports, records: Sequence[ChatsRecord]) -> None:
    """Raises `UnavailableError` and `PoisonError`, as `persist_messages`."""
    now = rfc3339(ports.clock.now_ms())
    records = [_deleted_at(now, record) for record in records]
    persisted = ports.store.persistence.persist_chats(records, ports.lease_window)
    ports.queues.send(
        PurgeRecord(token=record.token, chat=chat.number)
        for record in records
        for chat in record.chats
        if chat.deleted_at
    )
    ports.metrics.count(CHATS_PERSISTED, sum(len(record.chats) for record in records))
    _block_deleted(ports, records)
    _publish_to_redis(ports, persisted.acknowledged, persisted.extended)


def _publish_to_redis(
    ports: Ports,
    acknowledged: dict[Counter, dict[int, int]],
    extended: Sequence[tuple[Counter, Lease]],
) -> None:
    """Extend the leases, and drop the pending versions that are stored.

    If this fails, the repair and the next request at the ceiling do it later. A lease that cannot be extended
    concerns its own counter only, and a node of Redis that is away its own applications.
    """
    for counter, lease in extended:
        try:
            ports.sequencer.extend_lease(counter, lease)
            ports.metrics.count(LEASES_EXTENDED)
        except UnavailableError as error:
            subject = LogSubject(token=counter.token, chat=counter.chat)
            fields = {**subject.fields(), **error_fields(error)}
            logger.warning("the lease was not extended in Redis", extra=fields)
    try:
        groups = ports.sequencer.by_node(dict.fromkeys(c.token for c in acknowledged))
    except UnavailableError as error:
        _log_not_acknowledged(acknowledged, error)
        return
    for tokens in map(set, groups.values()):
        own = {counter: n for counter, n in acknowledged.items() if counter.token in tokens}
        try:
            ports.sequencer.acknowledge(own)
        except UnavailableError as error:
            _log_not_acknowledged(own, error)


def _log_not_acknowledged(
    acknowledged: dict[Counter, dict[int, int]], error: UnavailableError
) -> None:
    for counter, revisions in acknowledged.items():
        subject = log_subject_of_revisions(counter.token, counter.chat, revisions)
        fields = {**subject.fields(), **error_fields(error)}
        logger.warning("persisted, but not acknowledged in Redis", extra=fields)


def _deleted_at(now: Timestamp, record: ChatsRecord) -> ChatsRecord:
    """The record, with the time of its deletions set to now.

    Messages of the chat are stored until the deletion is. The last removal from the index must come after
    them, and it is counted from this time.
    """
    chats = [replace(chat, deleted_at=now) if chat.deleted_at else chat for chat in record.chats]
    return replace(record, chats=chats)


def _block_deleted(ports: Ports, records: Sequence[ChatsRecord]) -> None:
    """Block the deleted chats: a later incarnation of Redis does not know of the deletion."""
    deleted: dict[AppToken, list[ChatNumber]] = {}
    for record in records:
        numbers = [chat.number for chat in record.chats if chat.deleted_at]
        if numbers:
            deleted.setdefault(record.token, []).extend(numbers)
    for token, numbers in deleted.items():
        try:
            ports.sequencer.block_chats(token, numbers)
        except UnavailableError as error:
            fields = {"token": token, **error_fields(error)}
            logger.warning("deleted, but not blocked in Redis", extra=fields)
