"""Measuring in pairs: what is measured and its floor by turns, so that a slow moment meets both."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.bench.rows import Row


class Took(NamedTuple):
    """Seconds: of the clock, and of this process's CPU."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """How long a piece of work takes here."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def by_turns(
    works: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1
) -> list[list[Took]]:
    """Each work once a round, the order reversed every other round. What each took, round by round."""
    taken: list[list[Took]] = [[] for _ in works]
    order = list(range(len(works)))
    for number in range(warm_up + rounds):
        gc.collect()
        for index in order if number % 2 else reversed(order):
            took = timed(works[index])
            if number >= warm_up:
                taken[index].append(took)
    return taken


def many(work: Callable[[], object], count: int) -> Callable[[], None]:
    """The work so many times, as one piece."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


def spread(values: Sequence[float]) -> float:
    """Half of the distance between the quartiles, as a share of the median."""
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle


def compared(
    name: str,
    unit: str,
    values: Sequence[float],
    floors: Sequence[float],
    most: float | None = None,
    least: float | None = None,
) -> Row:
    """The row of values and floors that were measured in pairs; `most` and `least` are of the ratio."""
    ratios = [value / floor for value, floor in zip(values, floors, strict=True)]
    ratio = statistics.median(ratios)
    goal, reached = _goal(ratio, most, least, "{:g} ×")
    return Row(
        name=name,
        value=statistics.median(values),
        unit=unit,
        floor=statistics.median(floors),
        ratio=ratio,
        goal=goal,
        reached=reached,
        spread=spread(ratios),
    )


def plain(
    name: str,
    unit: str,
    values: Sequence[float],
    most: float | None = None,
    least: float | None = None,
) -> Row:
    """The row of values that have no floor."""
    value = statistics.median(values)
    goal, reached = _goal(value, most, least, "{:,.5g}")
    return Row(
        name=name,
        value=value,
        unit=unit,
        goal=goal,
        reached=reached,
        spread=spread(values) if len(values) > 1 else None,
    )


def _goal(
    figure: float, most: float | None, least: float | None, written: str
) -> tuple[str, bool | None]:
    """The goal in words, and whether it was reached; `written` is how a bound looks."""
    if most is not None:
        return f"≤ {written.format(most)}", figure <= most
    if least is not None:
        return f"≥ {written.format(least)}", figure >= least
    return "", None
