"""The records that other services put on the inbox queue: messages and chats without a number.

They have the fields and the rules of the HTTP requests. `key` is their Idempotency-Key: SQS may deliver a
record more than once, and two records with the same key create one message.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.limits import MAX_IDEMPOTENCY_KEY_CHARS, MAX_NUMBER
from chalicelib.domain.models import AppToken, ChatNumber, Timestamp
from chalicelib.domain.queue_records import RECORD_VERSION
from chalicelib.domain.requests import ChatRequest, MessageRequest, check_request, decode

Key = Annotated[str, Meta(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS)]


class InboxMessage(
    MessageRequest, frozen=True, kw_only=True, tag_field="type", tag="message.create"
):
    """A message to post to a chat."""

    v: Literal[1] = RECORD_VERSION
    token: AppToken
    chat: Annotated[ChatNumber, Meta(ge=1, le=MAX_NUMBER)]
    key: Key


class InboxChat(ChatRequest, frozen=True, kw_only=True, tag_field="type", tag="chat.create"):
    """A chat to create."""

    v: Literal[1] = RECORD_VERSION
    token: AppToken
    key: Key


InboxRecord = InboxMessage | InboxChat

_BY_TYPE: dict[str, type[InboxRecord]] = {"message.create": InboxMessage, "chat.create": InboxChat}


class _Type(msgspec.Struct, frozen=True):
    type: Literal["message.create", "chat.create"]


def decode_inbox(body: str, now: Timestamp) -> InboxRecord:
    """The record. Raises `ValueError`, which names every violation."""
    try:
        data = body.encode()
        record: InboxRecord = decode(data, _BY_TYPE[decode(data, _Type).type])
        check_request(record, now)
    except InvalidError as error:
        raise ValueError(str(error)) from None
    return record
