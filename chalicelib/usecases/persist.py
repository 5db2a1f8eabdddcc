"""Persist a batch of records: one transaction, then the search queue, then Redis."""

import logging
from collections.abc import Sequence
from itertools import batched

from msgspec.structs import replace

from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import CHATS_PERSISTED, LEASES_EXTENDED, MESSAGES_PERSISTED
from chalicelib.domain.models import Lease
from chalicelib.domain.queue_records import (
    ChatsRecord,
    Document,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
)
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.log_subjects import error_fields, log_subject_of_revisions
from chalicelib.usecases.ports import Ports

# Persist a batch of message records: one transaction, then the search queue, then Redis.

logger = logging.getLogger(__name__)

# A record on the search queue holds at most so many documents, all of one application.
MAX_DOCUMENTS_PER_RECORD = 250


def persist_messages(ports: Ports, records: Sequence[MessagesRecord]) -> None:
    """Everything is stored and on the way to the index when this returns.

    Raises `UnavailableError` where it can succeed later, also when the commit went through but the
    search queue did not answer: storing twice changes nothing, and never indexing must not happen.
    Raises `PoisonError` where the batch holds something that can never be stored.
    """
    now = rfc3339(ports.clock.now_ms())
    persisted = ports.store.persistence.persist_messages(records, ports.lease_window)
    by_token: dict[str, list[Document]] = {}
    for token, chat, message in persisted.documents:
        by_token.setdefault(token, []).append(Document(token=token, chat=chat, message=message))
    ports.queues.send(
        DocumentsRecord(documents=list(part), stored_at=now)
        for documents in by_token.values()
        for part in batched(documents, MAX_DOCUMENTS_PER_RECORD)
    )
    ports.metrics.count(MESSAGES_PERSISTED, len(persisted.documents))
    publish_to_redis(ports, persisted.acknowledged, persisted.extended)


def publish_to_redis(
    ports: Ports,
    acknowledged: dict[Counter, dict[int, int]],
    extended: Sequence[tuple[Counter, Lease]],
) -> None:
    """Raise leases and drop what is persisted from the pending states.

    What fails here is made good later: by the repair, and by the next request at the ceiling.
    """
    try:
        for counter, lease in extended:
            ports.sequencer.extend_lease(counter, lease)
            ports.metrics.count(LEASES_EXTENDED)
        ports.sequencer.acknowledge(acknowledged)
    except UnavailableError as error:
        for counter, revisions in acknowledged.items():
            identity = log_subject_of_revisions(counter.token, counter.chat, revisions)
            fields = {**identity.fields(), **error_fields(error)}
            logger.warning("persisted, but Redis was not told", extra=fields)


# Persist a batch of chat records: one transaction, then the search queue, then Redis.


def persist_chats(ports: Ports, records: Sequence[ChatsRecord]) -> None:
    """Raises `UnavailableError`, `PoisonError`, as `persist_messages`."""
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
    _forget_deleted(ports, records)
    publish_to_redis(ports, persisted.acknowledged, persisted.extended)


def _deleted_at(now: str, record: ChatsRecord) -> ChatsRecord:
    """A deletion counts from when it is stored, for until then messages of the chat are: the last
    removal from the index must come after them."""
    chats = [replace(chat, deleted_at=now) if chat.deleted_at else chat for chat in record.chats]
    return replace(record, chats=chats)


def _forget_deleted(ports: Ports, records: Sequence[ChatsRecord]) -> None:
    """A memory that was lost since has forgotten them, and would go on taking messages for them."""
    deleted: dict[str, list[int]] = {}
    for record in records:
        numbers = [chat.number for chat in record.chats if chat.deleted_at]
        if numbers:
            deleted.setdefault(record.token, []).extend(numbers)
    try:
        for token, numbers in deleted.items():
            ports.sequencer.block_chats(token, numbers)
    except UnavailableError as error:
        logger.warning("deleted, but Redis was not told", extra=error_fields(error))
