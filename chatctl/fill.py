"""Bringing one chat up to its source.

The k-th message of a source is number k of its chat (numbers that the service has skipped do not
count). So the chat itself says how far an earlier run came: whatever killed that run, and however long
ago it was, a message that is there is never sent again. Idempotency-Keys, which the service forgets
after a day, only have to cover the attempts of one request.
"""

import hashlib
from collections.abc import Callable
from itertools import count, islice

import msgspec
from ordinal_client import ChatDetail, Client, GoneError, Message

from chalicelib.domain.requests import MessageRequest
from chatctl.chunks import Chunk, chunks
from chatctl.failures import MismatchError
from chatctl.sources import Source


class State(msgspec.Struct, frozen=True):
    """How far a chat is: messages it has been given, its next number, and its newest message.

    `newest_position` counts from 1 in the source, as `done` does.
    """

    chat: int
    done: int
    next_number: int
    newest: Message | None
    newest_position: int


def fill(
    client: Client,
    source: Source,
    chat: int,
    there: Callable[[int], None],
    sent: Callable[[int], None],
) -> None:
    """Send what the chat lacks, and report how many messages were there and were sent.

    Raises `MismatchError`, `OrdinalError`, `GaveUpError`, `StoppedError`.
    """
    state = read_state(client, chat)
    _refuse_surplus(state, source)
    there(min(state.done, source.count))
    number = state.next_number
    for chunk in chunks(islice(source.read(), source.count)):
        _compare(chunk, state, source)
        rest = chunk.behind(state.done)
        if rest.items:
            number = _send(client, source, rest, state.chat, number)
            sent(len(rest.items))


def read_state(client: Client, chat: int) -> State:
    """How far the chat is. Deleted messages count: they keep their numbers."""
    newest = next(iter(client.list_messages(chat, limit=1).items), None)
    described = client.get_chat(chat)
    highest = max(newest.number if newest else 0, described.last_message_number)
    return State(
        chat=chat,
        done=_position(described, highest),
        next_number=highest + 1,
        newest=newest,
        newest_position=_position(described, newest.number) if newest else 0,
    )


def create(client: Client, source: Source) -> int:
    """Make the source's chat and return its number.

    Where one that was made within the last day has been deleted, its key still answers with its
    number: then the next key is taken.
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


def _send(client: Client, source: Source, chunk: Chunk, chat: int, number: int) -> int:
    """Send a chunk whose first message should become `number`. Returns the number behind it."""
    key = chunk.idempotency_key(source.name, chat)
    messages = map(msgspec.Raw, chunk.items)
    batch = client.create_messages(chat, messages, idempotency_key=key)
    if batch.first != number and not _skipped(client.get_chat(chat), number, batch.first - 1):
        raise MismatchError(
            f"{source.name}: message {chunk.first + 1} became number {batch.first} of chat {chat}"
            f" instead of {number}: someone else posts to this chat"
        )
    return batch.last + 1


def _refuse_surplus(state: State, source: Source) -> None:
    if state.done > source.count and not source.cut:
        raise MismatchError(
            f"{source.name}: chat {state.chat} has {state.done} messages, the source {source.count}"
        )


def _compare(chunk: Chunk, state: State, source: Source) -> None:
    """The chat's newest message must be the source's at that place. An edited one may differ."""
    index = state.newest_position - 1 - chunk.first
    newest = state.newest
    if newest is None or newest.edited_at or not 0 <= index < len(chunk.items):
        return
    expected = msgspec.json.decode(chunk.items[index], type=MessageRequest)
    if (newest.body, newest.sender) != (expected.body, expected.sender):
        raise MismatchError(
            f"{source.name}: number {newest.number} of chat {state.chat} is not message"
            f" {state.newest_position} of the source: the chat holds something else"
        )


def _position(chat: ChatDetail, number: int) -> int:
    """Which message of the chat a number is, counted from 1."""
    passed = (min(s.last, number) - s.first + 1 for s in chat.skipped if s.first <= number)
    return number - sum(passed)


def _skipped(chat: ChatDetail, first: int, last: int) -> bool:
    """Whether the service passed over all of these numbers, because its memory was lost."""
    within = (min(s.last, last) - max(s.first, first) + 1 for s in chat.skipped)
    return first <= last and sum(n for n in within if n > 0) == last - first + 1
