"""Ranges of numbers, in ascending order."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec


class NumberRange(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


def merged(ranges: Iterable[NumberRange]) -> list[NumberRange]:
    """The same numbers in as few ranges as possible: ranges that touch become one."""
    result: list[NumberRange] = []
    for numbers in ranges:
        if result and result[-1].last + 1 == numbers.first:
            result[-1] = NumberRange(result[-1].first, numbers.last)
        else:
            result.append(numbers)
    return result


def subtract(ranges: Iterable[NumberRange], used: Sequence[int]) -> Iterator[NumberRange]:
    """The ranges without the numbers in `used`, which is in ascending order."""
    for numbers in merged(ranges):
        first = numbers.first
        for number in used[bisect_left(used, first) : bisect_right(used, numbers.last)]:
            if number > first:
                yield NumberRange(first, number - 1)
            first = number + 1
        if first <= numbers.last:
            yield NumberRange(first, numbers.last)


def clip(ranges: Iterable[NumberRange], above: int, up_to: int) -> list[NumberRange]:
    """The parts of the ranges that are above `above` and not above `up_to`."""
    parts = (
        NumberRange(max(numbers.first, above + 1), min(numbers.last, up_to)) for numbers in ranges
    )
    return [part for part in parts if part.first <= part.last]


def count(ranges: Iterable[NumberRange]) -> int:
    """How many numbers the ranges hold."""
    return sum(numbers.last - numbers.first + 1 for numbers in ranges)
