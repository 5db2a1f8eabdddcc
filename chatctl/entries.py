"""The line of an NDJSON file: what `export` writes and `import` reads."""

from datetime import UTC, datetime

import msgspec
from ordinal_client import Chat, Message

from chalicelib.domain.models import Metadata
from chalicelib.domain.requests import Body, MessageRequest, Sender


class Entry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A message and the chat it belongs to, by title.

    `chat_number`, `number` and `edited_at` are there for readers and for `export --resume`; an import
    gives numbers of its own. `chat_metadata` counts in the first line of a chat.
    """

    chat: str
    chat_number: int | None = None
    number: int | None = None
    body: Body
    sender: Sender | None = None
    metadata: Metadata | None = None
    created_at: str | None = None
    edited_at: str | None = None
    chat_metadata: Metadata | None = None

    def message(self) -> MessageRequest:
        return MessageRequest(
            body=self.body,
            sender=self.sender,
            metadata=self.metadata,
            created_at=self.created_at,
        )


def entry_of(chat: Chat, name: str, message: Message, with_chat_metadata: bool) -> Entry:
    """A message of the API as a line."""
    return Entry(
        chat=name,
        chat_number=chat.number,
        number=message.number,
        body=message.body,
        sender=message.sender,
        metadata=message.metadata,
        created_at=_text(message.created_at),
        edited_at=_text(message.edited_at) if message.edited_at else None,
        chat_metadata=chat.metadata if with_chat_metadata else None,
    )


def _text(at: datetime) -> str:
    """As the API writes times."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
