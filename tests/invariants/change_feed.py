"""Rules about the copies that clients make from the change feed of a chat."""

from collections.abc import Iterator

from tests.invariants.history import History
from tests.invariants.stored import Stored


def wrong_copies(history: History, stored: Stored) -> Iterator[str]:
    """A client that has read the change feed to its end holds exactly what is stored.

    This includes deletions, and it holds whatever Redis lost in between.
    """
    for copy in history.copies.values():
        row = stored.chats.get((copy.token, copy.chat))
        if row is not None and row.deleted:
            continue
        messages = row.messages if row else {}
        expected = {n: (m.revision, None if m.deleted else m.body) for n, m in messages.items()}
        for number in sorted(copy.versions.keys() | expected.keys()):
            version, stored_version = copy.versions.get(number), expected.get(number)
            if version != stored_version:
                message = f"message {number} of chat {copy.chat}"
                yield f"{copy.client} holds {message} as {version}, but it is {stored_version}"


def backward_changes(history: History, stored: Stored) -> Iterator[str]:
    """The change feed never brings an older version of a message after a newer one."""
    for copy in history.copies.values():
        for change in copy.backwards:
            yield f"{copy.client} got a change of message {change} in chat {copy.chat}"
