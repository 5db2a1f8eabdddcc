"""Measuring in pairs: the product and its floor take turns, so that a slow moment hits both."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.bench.rows import Row


class Took(NamedTuple):
    """Seconds of the clock, and seconds of CPU of this process."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """Do the work once and time it."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def by_turns(
    works: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1
) -> list[list[Took]]:
    """Do each work once in a round, in reverse order every other round. Returns the times of each work."""
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
    """The work, repeated so many times."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


def spread(values: Sequence[float]) -> float:
    """Half of the distance between the quartiles, divided by the median."""
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
    """The row of values and floors that were measured in pairs. `most` and `least` limit the ratio."""
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
    """The row of values without a floor. `most` and `least` limit the value."""
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
    figure: float, most: float | None, least: float | None, template: str
) -> tuple[str, bool | None]:
    """The goal as a text, and whether it was reached. `template` formats the limit."""
    if most is not None:
        return f"≤ {template.format(most)}", figure <= most
    if least is not None:
        return f"≥ {template.format(least)}", figure >= least
    return "", None
