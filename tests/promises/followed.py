"""Rules about the copies of those who follow the changes of a chat."""

from collections.abc import Iterator

from tests.promises.history import History
from tests.promises.stored import Stored


def wrong_copies(history: History, stored: Stored) -> Iterator[str]:
    """Who has asked until there was no more holds what is stored, deletions included, and nothing else,
    whatever was lost meanwhile."""
    for copy in history.copies.values():
        row = stored.chats.get((copy.token, copy.chat))
        if row is not None and row.deleted:
            continue
        messages = row.messages if row else {}
        should = {n: (m.revision, None if m.deleted else m.body) for n, m in messages.items()}
        for number in sorted(copy.states.keys() | should.keys()):
            has, is_stored = copy.states.get(number), should.get(number)
            if has != is_stored:
                what = f"{copy.client} holds message {number} of chat {copy.chat}"
                yield f"{what} as {has}, and it is {is_stored}"


def backward_changes(history: History, stored: Stored) -> Iterator[str]:
    """No message is told in an older state than before."""
    for copy in history.copies.values():
        for said in copy.backwards:
            yield f"{copy.client} was told of message {said} of chat {copy.chat}"
