"""Rules about what the stores say to each other once all is calm."""

from collections.abc import Iterator

from tests.promises.history import History
from tests.promises.stored import Stored


def wrong_counts(history: History, stored: Stored) -> Iterator[str]:
    """Counts are those of the live messages and chats."""
    for (_, chat), row in stored.chats.items():
        live = sum(not message.deleted for message in row.messages.values())
        if not row.deleted and row.messages_count != live:
            yield f"chat {chat} counts {row.messages_count} messages and has {live}"
    for token, count in stored.chats_count.items():
        live = sum(of == token and not row.deleted for (of, _), row in stored.chats.items())
        if count != live:
            yield f"the application counts {count} chats and has {live}"


def wrong_documents(history: History, stored: Stored) -> Iterator[str]:
    """The index holds the live messages of live chats, in the state that MySQL has, and no others."""
    wanted = {
        (token, chat, number): (message.revision, message.body)
        for (token, chat), row in stored.chats.items()
        for number, message in row.messages.items()
        if not row.deleted and not message.deleted
    }
    for place in sorted(wanted.keys() | stored.indexed.keys()):
        has, should = stored.indexed.get(place), wanted.get(place)
        if has != should:
            yield f"message {place[2]} of chat {place[1]} is {should} and indexed as {has}"


def left_overs(history: History, stored: Stored) -> Iterator[str]:
    """Nothing is on its way any more, and nothing was given up."""
    for what in ("pending", "due", "queued", "dead"):
        if left := getattr(stored, what):
            yield f"{len(left)} {what}: {', '.join(left[:5])}"
