"""How far a user has read in a chat, and how many messages are left, without counting them one by one.

Every number above the marker, up to the last one, is that of a message that is there, of one that was
deleted, or was passed over when a memory was lost. A user may be a million messages behind: so what is
counted are the deleted ones and those passed over, which are few.
"""

from collections.abc import Iterable

import msgspec

from chalicelib.domain.number_ranges import NumberRange, between, size, without


class ReadMarker(msgspec.Struct, frozen=True):
    """A user has read a chat up to this number."""

    chat: int
    number: int


class UnpersistedChat(msgspec.Struct, frozen=True):
    """What Redis may know of a chat before MySQL does.

    `known` and `gone` say that the chat is there, and that it was deleted. `last` is the highest pending
    number, or 0; `deletions` are the numbers of messages whose deletion is pending.
    """

    known: bool = False
    gone: bool = False
    last: int = 0
    deletions: tuple[int, ...] = ()


class UnreadCount(msgspec.Struct, frozen=True):
    """A marker, how many messages lie above it, and the last number that was given."""

    chat: int
    number: int
    unread: int
    last: int


class Span(msgspec.Struct, frozen=True):
    """The numbers above a marker, up to the last one, before those that MySQL counts are taken away.

    `gaps` were passed over, unless MySQL has a row. `deletions` are pending, and MySQL may have them too.
    """

    marker: ReadMarker
    last: int
    gaps: tuple[NumberRange, ...]
    deletions: tuple[int, ...]

    def reading(self, deleted: int = 0, both: int = 0, arrived: int = 0) -> UnreadCount:
        """How many are unread, where MySQL has `deleted` numbers of the span as deleted, `both` of them
        among the `deletions`, and rows for `arrived` numbers of the `gaps`."""
        gone = deleted + len(self.deletions) - both
        missing = size(self.gaps) - arrived
        unread = self.last - self.marker.number - gone - missing
        return UnreadCount(self.marker.chat, self.marker.number, unread, self.last)


def span(
    marker: ReadMarker,
    stored_last: int,
    passed_over: Iterable[NumberRange],
    unpersisted: UnpersistedChat,
) -> Span:
    """What lies above a marker. The marker itself proves that its number was given."""
    last = max(stored_last, unpersisted.last, marker.number)
    deletions = tuple(sorted(number for number in unpersisted.deletions if number > marker.number))
    gaps = without(between(passed_over, marker.number, last), deletions)
    return Span(marker, last, tuple(gaps), deletions)
