"""Send what one chat lacks of its source.

Message k of a source is number k of its chat; skipped numbers do not count. So the chat itself shows how far
an earlier run came, whatever ended that run and however long ago, and no message is sent twice. The service
deletes an Idempotency-Key after a day, so the keys only protect the attempts of one request.

Messages are sent in chunks whose boundaries depend on the messages alone. So a second run makes the same
chunks and sends the same bytes with the same Idempotency-Keys, and the service recognizes them.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import msgspec
from ordinal_client import ChatDetail, Client, GoneError, Message

from chalicelib.domain.limits import MAX_BATCH_MESSAGES, MAX_REQUEST_BYTES
from chalicelib.domain.requests import MessageRequest
from chatctl.errors import MismatchError
from chatctl.sources.base import Source

# The rest of the request is the JSON around the messages.
MAX_BATCH_BYTES = MAX_REQUEST_BYTES - 1_000


class _ChatProgress(msgspec.Struct, frozen=True):
    """How many messages a chat has received, its next number, and its newest message.

    `newest_position` counts from 1 in the source, as `done` does.
    """

    chat: int
    done: int
    next_number: int
    newest: Message | None
    newest_position: int


def sync_chat(
    client: Client,
    source: Source,
    chat: int,
    on_already_present: Callable[[int], None],
    on_sent: Callable[[int], None],
) -> None:
    """Send what the chat lacks. The callbacks get counts of messages.

    Raises `MismatchError`, `ordinal_client.OrdinalError`, `GaveUpError`, `StoppedError`.
    """
    progress = _read_progress(client, chat)
    _refuse_surplus(progress, source)
    on_already_present(min(progress.done, source.count))
    number = progress.next_number
    for chunk in chunks(islice(source.read(), source.count)):
        _compare_newest(chunk, progress, source)
        rest = chunk.remaining_after(progress.done)
        if rest.items:
            number = _send(client, source, rest, progress.chat, number)
            on_sent(len(rest.items))


def create_chat(client: Client, source: Source) -> int:
    """Create the source's chat and return its number.

    If a chat that was created within the last day was deleted, the response to its key is its number. Then
    the next key is used.
    """
    for generation in count():
        seed = f"{source.name}\n{generation}".encode()
        key = "import-chat-" + hashlib.sha256(seed).hexdigest()
        number = client.create_chat(source.title, source.metadata, idempotency_key=key).number
        try:
            return client.get_chat(number).number
        except GoneError:
            continue
    raise AssertionError("count() has no end")


# --- chunks


@dataclass(frozen=True)
class Chunk:
    """Consecutive messages of one chat, as JSON. `first` counts from 0 in the source."""

    first: int
    items: tuple[bytes, ...]

    def remaining_after(self, done: int) -> "Chunk":
        """The part of the chunk that comes after the first `done` messages of the source."""
        dropped = min(max(done - self.first, 0), len(self.items))
        return Chunk(self.first + dropped, self.items[dropped:])

    def content(self) -> bytes:
        """The body of the request."""
        return b'{"messages":[' + b",".join(self.items) + b"]}"

    def idempotency_key(self, source: str, chat: int) -> str:
        """The number of the chat is a part of it: a chat that replaces a deleted one has other keys."""
        seed = f"{source}\n{chat}\n{self.first}\n".encode()
        return "import-" + hashlib.sha256(seed + self.content()).hexdigest()


def chunks(
    messages: Iterable[MessageRequest],
    max_messages: int = MAX_BATCH_MESSAGES,
    max_bytes: int = MAX_BATCH_BYTES,
) -> Iterator[Chunk]:
    """The messages in order, as many together as one request may hold."""
    first, size = 0, 0
    items: list[bytes] = []
    for message in messages:
        item = msgspec.json.encode(message)
        if items and (len(items) == max_messages or size + len(item) > max_bytes):
            yield Chunk(first, tuple(items))
            first, size, items = first + len(items), 0, []
        items.append(item)
        size += len(item) + 1
    if items:
        yield Chunk(first, tuple(items))


# --- the chat


def _read_progress(client: Client, chat: int) -> _ChatProgress:
    """Deleted messages count, because a deleted message keeps its number."""
    newest = next(iter(client.list_messages(chat, limit=1).items), None)
    detail = client.get_chat(chat)
    highest = max(newest.number if newest else 0, detail.last_message_number)
    return _ChatProgress(
        chat=chat,
        done=_position(detail, highest),
        next_number=highest + 1,
        newest=newest,
        newest_position=_position(detail, newest.number) if newest else 0,
    )


def _send(client: Client, source: Source, chunk: Chunk, chat: int, number: int) -> int:
    """Send a chunk whose first message must become `number`. Returns the number after its last one."""
    key = chunk.idempotency_key(source.name, chat)
    messages = map(msgspec.Raw, chunk.items)
    batch = client.create_messages(chat, messages, idempotency_key=key)
    if batch.first != number and not _all_skipped(client.get_chat(chat), number, batch.first - 1):
        raise MismatchError(
            f"{source.name}: message {chunk.first + 1} became number {batch.first} of chat {chat}"
            f" instead of {number}: another client posts to this chat"
        )
    return batch.last + 1


def _refuse_surplus(progress: _ChatProgress, source: Source) -> None:
    if progress.done > source.count and not source.truncated:
        raise MismatchError(
            f"{source.name}: chat {progress.chat} has {progress.done} messages,"
            f" the source has {source.count}"
        )


def _compare_newest(chunk: Chunk, progress: _ChatProgress, source: Source) -> None:
    """The chat's newest message must be the source's at its position, unless it was edited."""
    index = progress.newest_position - 1 - chunk.first
    newest = progress.newest
    if newest is None or newest.edited_at or not 0 <= index < len(chunk.items):
        return
    expected = msgspec.json.decode(chunk.items[index], type=MessageRequest)
    if (newest.body, newest.sender) != (expected.body, expected.sender):
        raise MismatchError(
            f"{source.name}: number {newest.number} of chat {progress.chat} is not message"
            f" {progress.newest_position} of the source: the chat holds something else"
        )


def _position(chat: ChatDetail, number: int) -> int:
    """The position of a number among the messages of the chat, counted from 1."""
    skipped = (min(s.last, number) - s.first + 1 for s in chat.skipped if s.first <= number)
    return number - sum(skipped)


def _all_skipped(chat: ChatDetail, first: int, last: int) -> bool:
    """Whether the service has skipped all numbers of the range, because Redis lost its data."""
    overlaps = (min(s.last, last) - max(s.first, first) + 1 for s in chat.skipped)
    return first <= last and sum(n for n in overlaps if n > 0) == last - first + 1
