"""The records on the queues: what the API hands to the workers, and what other services put on the inbox."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.limits import MAX_IDEMPOTENCY_KEY_CHARS, MAX_NUMBER
from chalicelib.domain.models import Chat, Lease, Message, Pending
from chalicelib.domain.requests import ChatRequest, MessageRequest, check_request
from chalicelib.domain.validation import decode

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


# What other services put on the inbox queue: messages and chats that have no number yet.
#
# The fields are those of the HTTP requests, and so are their rules. `key` stands in for the
# Idempotency-Key: SQS delivers a record at least once, and the same key never makes two.

Key = Annotated[str, Meta(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS)]


class InboxMessage(
    MessageRequest, frozen=True, kw_only=True, tag_field="type", tag="message.create"
):
    """A message to post to a chat."""

    v: Literal[1] = RECORD_VERSION
    token: str
    chat: Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
    key: Key


class InboxChat(ChatRequest, frozen=True, kw_only=True, tag_field="type", tag="chat.create"):
    """A chat to create."""

    v: Literal[1] = RECORD_VERSION
    token: str
    key: Key


InboxRecord = InboxMessage | InboxChat

_BY_TYPE: dict[str, type[InboxRecord]] = {"message.create": InboxMessage, "chat.create": InboxChat}


class _Type(msgspec.Struct, frozen=True):
    type: Literal["message.create", "chat.create"]


def decode_inbox(body: str, now: str) -> InboxRecord:
    """The record, if it keeps all rules. Raises `ValueError` that names every fault."""
    try:
        data = body.encode()
        record: InboxRecord = decode(data, _BY_TYPE[decode(data, _Type).type])
        check_request(record, now)
    except InvalidError as error:
        raise ValueError(str(error)) from None
    return record
