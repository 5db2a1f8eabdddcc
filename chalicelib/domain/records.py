"""What the words mean: leases, messages, chats, and the records that carry them on the queues.

A record holds the full state of what it is about, with its revision, never a difference: it may come
twice, late, or before the chat it belongs to, and the newer revision wins. Times are RFC 3339 in UTC
with milliseconds (`2026-01-31T12:00:00.000Z`), so that they sort as text.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

RECORD_VERSION: Literal[1] = 1

Metadata = dict[str, Any]


class Lease(msgspec.Struct, frozen=True):
    """The right of one Redis memory to hand out the numbers of a counter, up to `ceiling`.

    `holder` names the memory, `epoch` counts how often a memory has begun on this counter.
    """

    holder: str
    epoch: int
    ceiling: int


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of a message. `deleted_at` marks a deleted one, which has no body."""

    number: int
    revision: int
    body: str
    sender: str | None = None
    metadata: Metadata | None = None
    created_at: str
    edited_at: str | None = None
    deleted_at: str | None = None
    idempotency_key: str | None = None


class Chat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of a chat.

    `messages_lease` is the first lease of its message numbers. It is part of the state until the
    chat's row is there, because messages may be numbered before that.
    """

    number: int
    revision: int
    title: str | None = None
    metadata: Metadata | None = None
    created_at: str
    edited_at: str | None = None
    deleted_at: str | None = None
    idempotency_key: str | None = None
    messages_lease: Lease | None = None


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


class Pending(msgspec.Struct, frozen=True):
    """A state that was accepted and is not known to be persisted yet."""

    accepted_at_ms: int
    lease: Lease
    state: Message | Chat


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as MySQL keeps it. `deleted_at` is set while what it held is still being removed.

    The secret key is valid in the version `key_version`, and until `previous_key_until` in the one before.
    """

    token: str
    name: str
    chats_count: int
    created_at: str
    key_version: int
    previous_key_until: str | None = None
    deleted_at: str | None = None


class Numbers(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """A chat with what MySQL alone knows: its cached counts. A stub has revision 0."""

    chat: Chat
    messages_count: int
    last_message_number: int


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
