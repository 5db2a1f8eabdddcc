"""What the words mean: leases, messages, chats, and the records that carry them on the queues.

A record holds the full state of what it is about, with its revision, never a difference: it may come
twice, late, or before the chat it belongs to, and the newer revision wins. Times are RFC 3339 in UTC
with milliseconds (`2026-01-31T12:00:00.000Z`), so that they sort as text.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec


class Numbers(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


def joined(ranges: Iterable[Numbers]) -> list[Numbers]:
    """Ranges, in order, with those that touch each other made into one."""
    whole: list[Numbers] = []
    for following in ranges:
        if whole and whole[-1].last + 1 == following.first:
            whole[-1] = Numbers(whole[-1].first, following.last)
        else:
            whole.append(following)
    return whole


def without(ranges: Iterable[Numbers], used: Sequence[int]) -> Iterator[Numbers]:
    """What is left of the ranges without the numbers that are in use; both are in order."""
    for gap in joined(ranges):
        first = gap.first
        for number in used[bisect_left(used, first) : bisect_right(used, gap.last)]:
            if number > first:
                yield Numbers(first, number - 1)
            first = number + 1
        if first <= gap.last:
            yield Numbers(first, gap.last)


def between(ranges: Iterable[Numbers], above: int, up_to: int) -> list[Numbers]:
    """The parts of the ranges that lie above one number, up to another."""
    parts = (Numbers(max(gap.first, above + 1), min(gap.last, up_to)) for gap in ranges)
    return [part for part in parts if part.first <= part.last]


def size(ranges: Iterable[Numbers]) -> int:
    """How many numbers the ranges hold."""
    return sum(gap.last - gap.first + 1 for gap in ranges)
