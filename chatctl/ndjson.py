"""NDJSON files: one message a line, of any number of chats."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chalicelib.domain.requests import ChatRequest, MessageRequest
from chatctl.entries import Entry
from chatctl.failures import BrokenLineError
from chatctl.sources import Contents, Source, Tally, checked

SUFFIXES = (".ndjson", ".jsonl")


@dataclass
class _Chat:
    """Where the lines of one chat begin: eight bytes a message is all that is kept of it."""

    metadata: dict[str, Any]
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))


def scan_ndjson(path: Path, now: str, skip_broken: bool) -> Contents:
    """One source for each chat of the file, after a look at every line."""
    tally, faults = Tally(skip_broken), []
    chats: dict[str, _Chat] = {}
    try:
        for offset, entry in _entries(path, now, tally):
            chat = chats.get(entry.chat)
            if chat is None:
                metadata = entry.chat_metadata or {"source": path.name}
                chat = chats[entry.chat] = _Chat(metadata)
            chat.offsets.append(offset)
    except BrokenLineError as error:
        faults.append(error.message)
    cut = bool(faults)
    sources = [_source(path, now, title, chat, cut) for title, chat in chats.items()]
    return Contents(sources, tally.left_out, faults)


def _source(path: Path, now: str, title: str, chat: _Chat, cut: bool) -> Source:
    def read() -> Iterator[MessageRequest]:
        with path.open("rb") as file:
            for offset in chat.offsets:
                file.seek(offset)
                yield checked(file.readline(), Entry, now).message()

    name = f"{path.name}#{title}"
    return Source(name, title, chat.metadata, len(chat.offsets), read, cut)


def _entries(path: Path, now: str, tally: Tally) -> Iterator[tuple[int, Entry]]:
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            begin, offset = offset, offset + len(raw)
            if not raw.strip():
                tally.left_out["empty"] += 1
                continue
            try:
                entry = checked(raw, Entry, now)
                checked({"title": entry.chat, "metadata": entry.chat_metadata}, ChatRequest, now)
            except ValueError as error:
                tally.broken(path, number, error)
                continue
            yield begin, entry
