"""Rules about read markers and unread counts."""

from collections import defaultdict
from collections.abc import Iterator

from tests.promises.history import History, Told
from tests.promises.stored import Stored


def backward_markers(history: History, stored: Stored) -> Iterator[str]:
    """A marker never moves back, whatever is lost."""
    before: dict[tuple[str, str, int], list[Told]] = defaultdict(list)
    for told in history.told:
        earlier = before[told.token, told.user, told.chat]
        for one in earlier:
            if one.ended < told.began and one.number > told.number:
                what = f"{told.user} has read chat {told.chat} to {told.number}"
                yield f"{what}, after {one.number}"
        earlier.append(told)
    for (token, user, chat), (number, _) in stored.readers.items():
        highest = max((told.number for told in before[token, user, chat]), default=0)
        if number < highest:
            yield f"{user} has read chat {chat} to {number} at last, after {highest}"


def wrong_unread_counts(history: History, stored: Stored) -> Iterator[str]:
    """Once all is calm, those are unread that are there, above the marker."""
    for (token, user, chat), (number, unread) in stored.readers.items():
        row = stored.chats[token, chat]
        live = sum(not message.deleted for n, message in row.messages.items() if n > number)
        if unread != live:
            yield f"{user} has read chat {chat} to {number}: {unread} unread, and there are {live}"
