"""NDJSON files: one message a line, of any number of chats. `export` writes them, `import` reads them."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from ordinal_client import Chat, Message

from chalicelib.domain.models import Metadata, Timestamp
from chalicelib.domain.requests import Body, ChatRequest, MessageRequest, Sender
from chatctl.errors import BrokenLineError
from chatctl.sources.base import SkippedLines, Source, SourceSet, checked

SUFFIXES = (".ndjson", ".jsonl")


# --- one line


class NdjsonLine(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A message, and the title of its chat.

    `chat_number`, `number` and `edited_at` are for readers and for `export --resume`; an import does not use
    them. `chat_metadata` counts in the first line of a chat.
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


def line_of(chat: Chat, name: str, message: Message, with_chat_metadata: bool) -> NdjsonLine:
    """The line of a message of the API."""
    return NdjsonLine(
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
    """The time as the API writes times."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


# --- a file


@dataclass
class _ChatLines:
    """The offsets of a chat's lines in the file: 8 bytes of RAM for each message."""

    metadata: dict[str, Any]
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))


def scan_ndjson(path: Path, now: Timestamp, skip_broken: bool) -> SourceSet:
    """Check every line of the file. The result has one source for each chat."""
    skipped, errors = SkippedLines(skip_broken), []
    chats: dict[str, _ChatLines] = {}
    try:
        for offset, line in _lines(path, now, skipped):
            chat = chats.get(line.chat)
            if chat is None:
                metadata = line.chat_metadata or {"source": path.name}
                chat = chats[line.chat] = _ChatLines(metadata)
            chat.offsets.append(offset)
    except BrokenLineError as error:
        errors.append(str(error))
    truncated = bool(errors)
    sources = [_source(path, now, title, chat, truncated) for title, chat in chats.items()]
    return SourceSet(sources, skipped.counts, errors)


def _source(path: Path, now: Timestamp, title: str, chat: _ChatLines, truncated: bool) -> Source:
    def read() -> Iterator[MessageRequest]:
        with path.open("rb") as file:
            for offset in chat.offsets:
                file.seek(offset)
                yield checked(file.readline(), NdjsonLine, now).message()

    name = f"{path.name}#{title}"
    return Source(name, title, chat.metadata, len(chat.offsets), read, truncated)


def _lines(path: Path, now: Timestamp, skipped: SkippedLines) -> Iterator[tuple[int, NdjsonLine]]:
    """Each message of the file with the offset of its line."""
    next_offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            offset, next_offset = next_offset, next_offset + len(raw)
            if not raw.strip():
                skipped.counts["empty"] += 1
                continue
            try:
                line = checked(raw, NdjsonLine, now)
                checked({"title": line.chat, "metadata": line.chat_metadata}, ChatRequest, now)
            except ValueError as error:
                skipped.add_broken(path, number, error)
                continue
            yield offset, line
