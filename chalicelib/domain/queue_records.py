"""The records on the queues: versions of chats and messages on their way to MySQL and OpenSearch."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from chalicelib.domain.models import AppToken, Chat, ChatNumber, Lease, Message, Pending, Timestamp

RECORD_VERSION: Literal[1] = 1


class MessagesRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="messages"):
    """Versions of messages of one chat, with the lease under which they got their numbers."""

    v: Literal[1] = RECORD_VERSION
    token: AppToken
    chat: ChatNumber
    lease: Lease
    messages: list[Message]


class ChatsRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="chats"):
    """Versions of chats of one application, with the lease under which they got their numbers."""

    v: Literal[1] = RECORD_VERSION
    token: AppToken
    lease: Lease
    chats: list[Chat]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the search index. A deleted one stays there without a body, so that late records lose."""

    token: AppToken
    chat: ChatNumber
    message: Message


class RefusedDocument(msgspec.Struct, frozen=True):
    """A document that the search index did not take, and why. If `retryable`, it may take it later."""

    document: Document
    reason: str
    retryable: bool = False


class DocumentsRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="documents"):
    """Persisted versions to index. `stored_at` is not later than the commit; old records do not have it."""

    v: Literal[1] = RECORD_VERSION
    documents: list[Document]
    stored_at: Timestamp | msgspec.UnsetType = msgspec.UNSET


class PurgeRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="purge"):
    """A chat to remove from the index, or a whole application (`chat` is None)."""

    v: Literal[1] = RECORD_VERSION
    token: AppToken
    chat: ChatNumber | None = None


SearchRecord = DocumentsRecord | PurgeRecord
AnyRecord = MessagesRecord | ChatsRecord | DocumentsRecord | PurgeRecord


def records_of(
    token: AppToken, chat: ChatNumber | None, pending: Iterable[Pending]
) -> list[MessagesRecord | ChatsRecord]:
    """Pending versions of one counter as records: one for each lease under which they got their numbers."""
    by_lease: dict[Lease, list[Any]] = {}
    for entry in pending:
        by_lease.setdefault(entry.lease, []).append(entry.version)
    if chat is None:
        return [ChatsRecord(token=token, lease=k, chats=v) for k, v in by_lease.items()]
    return [
        MessagesRecord(token=token, chat=chat, lease=k, messages=v) for k, v in by_lease.items()
    ]


def count_versions(record: msgspec.Struct) -> int:
    """How many versions a record holds. Any other record counts as one."""
    field = _versions_field(record)
    return len(getattr(record, field)) if field else 1


def split_in_half[R: msgspec.Struct](record: R) -> list[R]:
    """The two halves of a record, or the record alone if it cannot be split."""
    field = _versions_field(record)
    items: list[Any] = getattr(record, field) if field else []
    if field is None or len(items) < 2:
        return [record]
    middle = len(items) // 2
    return [
        msgspec.structs.replace(record, **{field: part})
        for part in (items[:middle], items[middle:])
    ]


def _versions_field(record: msgspec.Struct) -> str | None:
    return next((f for f in ("messages", "chats", "documents") if hasattr(record, f)), None)
