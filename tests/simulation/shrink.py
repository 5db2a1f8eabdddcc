"""Makes a failing plan short: leaves steps out as long as the same promise stays broken."""

import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tests.simulation.plan import Step
from tests.simulation.run import run
from tests.simulation.simulation import REAL, Parts

type Fails = Callable[[Sequence[Step]], bool]


def shrink(
    steps: Sequence[Step], rules: set[str], parts: Parts = REAL, seconds: float = 30
) -> list[Step]:
    """The shortest plan found in time that breaks one of these rules."""
    until = time.monotonic() + seconds

    def fails(plan: Sequence[Step]) -> bool:
        return time.monotonic() < until and bool(run(plan, parts).rules & rules)

    found = list(steps)
    length = len(found) // 2
    while length:
        found, is_shorter = _without_parts(found, length, fails)
        if not is_shorter:
            length //= 2
    return _simpler(found, fails)


def _without_parts(steps: list[Step], length: int, fails: Fails) -> tuple[list[Step], bool]:
    """Leave out each stretch of this length that can be."""
    before = len(steps)
    at = 0
    while at < len(steps):
        shorter = steps[:at] + steps[at + length :]
        if fails(shorter):
            steps = shorter
        else:
            at += length
    return steps, len(steps) < before


def _simpler(steps: list[Step], fails: Fails) -> list[Step]:
    """Smaller requests, and no more slices than are needed."""
    for at, step in enumerate(steps):
        for simpler in (
            replace(step, size=1),
            replace(step, gap=0),
            replace(step, gap=step.gap // 2),
        ):
            candidate = [*steps[:at], simpler, *steps[at + 1 :]]
            if simpler != steps[at] and fails(candidate):
                steps = candidate
                break
    return steps
