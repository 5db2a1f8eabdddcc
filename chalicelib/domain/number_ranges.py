"""What the words mean: leases, messages, chats, and the records that carry them on the queues.

A record holds the full state of what it is about, with its revision, never a difference: it may come
twice, late, or before the chat it belongs to, and the newer revision wins. Times are RFC 3339 in UTC
with milliseconds (`2026-01-31T12:00:00.000Z`), so that they sort as text.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec


class NumberRange(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


def joined(ranges: Iterable[NumberRange]) -> list[NumberRange]:
    """Ranges, in order, with those that touch each other made into one."""
    whole: list[NumberRange] = []
    for following in ranges:
        if whole and whole[-1].last + 1 == following.first:
            whole[-1] = NumberRange(whole[-1].first, following.last)
        else:
            whole.append(following)
    return whole


def without(ranges: Iterable[NumberRange], used: Sequence[int]) -> Iterator[NumberRange]:
    """What is left of the ranges without the numbers that are in use; both are in order."""
    for gap in joined(ranges):
        first = gap.first
        for number in used[bisect_left(used, first) : bisect_right(used, gap.last)]:
            if number > first:
                yield NumberRange(first, number - 1)
            first = number + 1
        if first <= gap.last:
            yield NumberRange(first, gap.last)


def between(ranges: Iterable[NumberRange], above: int, up_to: int) -> list[NumberRange]:
    """The parts of the ranges that lie above one number, up to another."""
    parts = (NumberRange(max(gap.first, above + 1), min(gap.last, up_to)) for gap in ranges)
    return [part for part in parts if part.first <= part.last]


def size(ranges: Iterable[NumberRange]) -> int:
    """How many numbers the ranges hold."""
    return sum(gap.last - gap.first + 1 for gap in ranges)
