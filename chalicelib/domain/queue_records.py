"""The records on the queues: versions of chats and messages, on their way to MySQL and OpenSearch."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from chalicelib.domain.models import Chat, Lease, Message, Pending

RECORD_VERSION: Literal[1] = 1


class MessagesRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="messages"):
    """States of messages of one chat, with the lease under which they were numbered."""

    v: Literal[1] = RECORD_VERSION
    token: str
    chat: int
    lease: Lease
    messages: list[Message]


class ChatsRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="chats"):
    """States of chats of one application, with the lease under which they were numbered."""

    v: Literal[1] = RECORD_VERSION
    token: str
    lease: Lease
    chats: list[Chat]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the search index keeps it. A deleted one stays as a mark without a body."""

    token: str
    chat: int
    message: Message


class DocumentsRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="documents"):
    """Persisted states to index. `stored_at` is not after the commit; left out where it is not known."""

    v: Literal[1] = RECORD_VERSION
    documents: list[Document]
    stored_at: str | msgspec.UnsetType = msgspec.UNSET


class PurgeRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="purge"):
    """Everything of a chat, or of a whole application (`chat` is None), leaves the index."""

    v: Literal[1] = RECORD_VERSION
    token: str
    chat: int | None = None


SearchRecord = DocumentsRecord | PurgeRecord
AnyRecord = MessagesRecord | ChatsRecord | DocumentsRecord | PurgeRecord


def records_of(
    token: str, chat: int | None, pending: Iterable[Pending]
) -> list[MessagesRecord | ChatsRecord]:
    """Pending states of one counter as records, one for each lease under which they were numbered."""
    by_lease: dict[Lease, list[Any]] = {}
    for entry in pending:
        by_lease.setdefault(entry.lease, []).append(entry.state)
    if chat is None:
        return [ChatsRecord(token=token, lease=k, chats=v) for k, v in by_lease.items()]
    return [
        MessagesRecord(token=token, chat=chat, lease=k, messages=v) for k, v in by_lease.items()
    ]


def halves[R: msgspec.Struct](record: R) -> list[R]:
    """The record's first and second half, or the record alone where it holds only one thing."""
    field = next((f for f in ("messages", "chats", "documents") if hasattr(record, f)), None)
    items: list[Any] = getattr(record, field) if field else []
    if field is None or len(items) < 2:
        return [record]
    middle = len(items) // 2
    return [
        msgspec.structs.replace(record, **{field: part})
        for part in (items[:middle], items[middle:])
    ]
