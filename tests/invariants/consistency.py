"""Rules about the stores alone: numbers, counts, index and unread counts agree, and nothing is left over."""

from collections.abc import Iterable, Iterator

from tests.invariants.history import History
from tests.invariants.stored import Stored


def missing_numbers(history: History, stored: Stored) -> Iterator[str]:
    """Every number up to the highest stored one is either stored or reported as skipped."""
    for (_, chat), row in stored.chats.items():
        if row.deleted:
            continue
        skipped = {n for first, last in row.skipped for n in range(first, last + 1)}
        missing = set(range(1, max(row.messages, default=0) + 1)) - row.messages.keys() - skipped
        if missing:
            yield f"chat {chat} has no message {ranges(missing)}"
        if both := skipped & row.messages.keys():
            yield f"chat {chat} reports {ranges(both)} as skipped, but has a message there"


def skipped_without_a_loss(history: History, stored: Stored) -> Iterator[str]:
    """No number of a message or of a chat is skipped while Redis keeps its data."""
    if history.losses:
        return
    for (_, chat), row in stored.chats.items():
        if row.skipped and not row.deleted:
            yield f"chat {chat} skipped {row.skipped}, but Redis lost no data"
    for token in stored.chats_count:
        numbers = {number for owner, number in stored.chats if owner == token}
        if missing := set(range(1, max(numbers, default=0) + 1)) - numbers:
            yield f"the application has no chat {ranges(missing)}, but Redis lost no data"


def wrong_counts(history: History, stored: Stored) -> Iterator[str]:
    """Each count equals the number of live messages or chats."""
    for (_, chat), row in stored.chats.items():
        live = sum(not message.deleted for message in row.messages.values())
        if not row.deleted and row.messages_count != live:
            yield f"chat {chat} counts {row.messages_count} messages and has {live}"
    for token, count in stored.chats_count.items():
        live = sum(owner == token and not row.deleted for (owner, _), row in stored.chats.items())
        if count != live:
            yield f"the application counts {count} chats and has {live}"


def wrong_documents(history: History, stored: Stored) -> Iterator[str]:
    """The index holds the live messages of the live chats, in the version that MySQL has, and no others."""
    expected = {
        (token, chat, number): (message.revision, message.body)
        for (token, chat), row in stored.chats.items()
        for number, message in row.messages.items()
        if not row.deleted and not message.deleted
    }
    for message_id in sorted(expected.keys() | stored.indexed.keys()):
        document, version = stored.indexed.get(message_id), expected.get(message_id)
        if document != version:
            _, chat, number = message_id
            yield f"message {number} of chat {chat} is {version} but is indexed as {document}"


def wrong_unread_counts(history: History, stored: Stored) -> Iterator[str]:
    """The unread count of a marker is the number of live messages above it."""
    for (token, user, chat), (number, unread) in stored.readers.items():
        row = stored.chats[token, chat]
        live = sum(not message.deleted for n, message in row.messages.items() if n > number)
        if unread != live:
            yield f"{user} has read chat {chat} to {number}: {unread} unread, but there are {live}"


def leftovers(history: History, stored: Stored) -> Iterator[str]:
    """Nothing is pending or on a queue, and no record is on a dead-letter queue."""
    for name in ("pending", "due", "queued", "dead"):
        if entries := getattr(stored, name):
            yield f"{len(entries)} {name}: {', '.join(entries[:5])}"


def ranges(numbers: Iterable[int]) -> str:
    """`1-3, 7`"""
    merged: list[list[int]] = []
    for number in sorted(numbers):
        if merged and merged[-1][1] == number - 1:
            merged[-1][1] = number
        else:
            merged.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in merged)
