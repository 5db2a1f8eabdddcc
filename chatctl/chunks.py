"""Messages in batches whose boundaries depend on the messages alone.

So a second run cuts at the same places, sends the same bytes under the same Idempotency-Keys, and the
service recognizes what it has seen.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from chalicelib.domain.limits import MAX_BATCH_MESSAGES, MAX_REQUEST_BYTES
from chalicelib.domain.requests import MessageRequest

# The rest is room for what stands around the messages.
MAX_BATCH_BYTES = MAX_REQUEST_BYTES - 1_000


@dataclass(frozen=True)
class Chunk:
    """Messages of one chat that follow each other, as JSON; `first` counts from 0 in the source."""

    first: int
    items: tuple[bytes, ...]

    def behind(self, done: int) -> "Chunk":
        """What is left of it where the source's first `done` messages are there already."""
        there = min(max(done - self.first, 0), len(self.items))
        return Chunk(self.first + there, self.items[there:])

    def content(self) -> bytes:
        """The body of the request."""
        return b'{"messages":[' + b",".join(self.items) + b"]}"

    def idempotency_key(self, source: str, chat: int) -> str:
        """The chat is part of it: a chat that was deleted and made anew must not meet old keys."""
        where = f"{source}\n{chat}\n{self.first}\n".encode()
        return "import-" + hashlib.sha256(where + self.content()).hexdigest()


def chunks(
    messages: Iterable[MessageRequest],
    most_messages: int = MAX_BATCH_MESSAGES,
    most_bytes: int = MAX_BATCH_BYTES,
) -> Iterator[Chunk]:
    """The messages in order, as many together as one request may hold."""
    first, size = 0, 0
    items: list[bytes] = []
    for message in messages:
        item = msgspec.json.encode(message)
        if items and (len(items) == most_messages or size + len(item) > most_bytes):
            yield Chunk(first, tuple(items))
            first, size, items = first + len(items), 0, []
        items.append(item)
        size += len(item) + 1
    if items:
        yield Chunk(first, tuple(items))
