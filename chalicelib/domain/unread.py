"""How far a user has read in a chat, and how many messages are unread, without counting them one by one.

Every number above the marker, up to the last one, belongs to an existing message or to a deleted one, or was
skipped. A user may be a million messages behind, but deleted and skipped numbers are few. So these are
counted and subtracted.
"""

from collections.abc import Iterable

import msgspec

from chalicelib.domain.models import ChatNumber
from chalicelib.domain.number_ranges import NumberRange, clip, count, subtract
from chalicelib.domain.rate_limits import Remaining


class ReadMarker(msgspec.Struct, frozen=True):
    """A user has read a chat up to this number."""

    chat: ChatNumber
    number: int


class UnpersistedChat(msgspec.Struct, frozen=True):
    """What Redis may know of a chat before MySQL does.

    `known` says that the chat exists, `gone` that it was deleted. `last` is the highest pending number, or 0.
    `deletions` are the numbers of messages whose deletion is pending.
    """

    known: bool = False
    gone: bool = False
    last: int = 0
    deletions: tuple[int, ...] = ()


class UnpersistedChats(msgspec.Struct, frozen=True):
    """What Redis knows of some chats, by number, and what is left of the rate limits."""

    chats: dict[ChatNumber, UnpersistedChat]
    remaining: tuple[Remaining, ...] = ()


class UnreadCount(msgspec.Struct, frozen=True):
    """A marker (`chat`, `number`), how many messages are above it, and the last number of the chat."""

    chat: ChatNumber
    number: int
    unread: int
    last: int


class UnreadWindow(msgspec.Struct, frozen=True):
    """The numbers above a marker, up to `last`, before the numbers that only MySQL knows are subtracted.

    `skipped` are ranges of skipped numbers: a late record may have stored some of them. `deletions` are
    numbers whose deletion is pending: MySQL may have stored some of them as deleted too.
    """

    marker: ReadMarker
    last: int
    skipped: tuple[NumberRange, ...]
    deletions: tuple[int, ...]

    def count(self, deleted: int = 0, both: int = 0, arrived: int = 0) -> UnreadCount:
        """How many messages are unread.

        MySQL has counted in this window: `deleted` numbers of deleted messages, `both` of them among
        `deletions`, and `arrived` rows with a number in `skipped`.
        """
        gone = deleted + len(self.deletions) - both
        missing = count(self.skipped) - arrived
        unread = self.last - self.marker.number - gone - missing
        return UnreadCount(self.marker.chat, self.marker.number, unread, self.last)


def unread_window(
    marker: ReadMarker,
    stored_last: int,
    skipped: Iterable[NumberRange],
    unpersisted: UnpersistedChat,
) -> UnreadWindow:
    """The window above a marker. The marker itself proves that its number was issued.

    `stored_last` and `skipped` are the chat's in MySQL, `unpersisted` is what Redis knows of the chat.
    """
    last = max(stored_last, unpersisted.last, marker.number)
    deletions = tuple(sorted(number for number in unpersisted.deletions if number > marker.number))
    missing = subtract(clip(skipped, marker.number, last), deletions)
    return UnreadWindow(marker, last, tuple(missing), deletions)
