"""Runs a plan, checks the promises, and shortens a plan that fails."""

import time
import traceback
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from tests.invariants.check import broken
from tests.simulation.plan import Step
from tests.simulation.quiesce import quiesce
from tests.simulation.simulation import REAL, Components, Simulation


class Outcome(msgspec.Struct, frozen=True):
    """The result of one run. Runs with the same `trace` made the same calls. `slices` counts the work."""

    broken: list[str]
    story: list[str]
    trace: int
    slices: int

    @property
    def rules(self) -> set[str]:
        """The names of the broken rules."""
        return {violation.split(":")[0] for violation in self.broken}


def run(steps: Sequence[Step], components: Components = REAL, watch: bool = False) -> Outcome:
    """Follow the steps, quiesce, check. With `watch` the story lists every call of a port."""
    story: list[str] = []
    simulation = Simulation(story.append, components)
    if watch:
        simulation.faults.watch = story.append
    try:
        simulation.follow(steps)
        violations = broken(simulation.history, quiesce(simulation))
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        violations = [f"crashed: {error!r} in {frame.name}"]
        story.append(traceback.format_exc())
    finally:
        simulation.faults.closed = True
        simulation.processes.close()
    return Outcome(violations, story, simulation.faults.trace, simulation.processes.slices)


type Fails = Callable[[Sequence[Step]], bool]


def shrink(
    steps: Sequence[Step], rules: set[str], components: Components = REAL, seconds: float = 30
) -> list[Step]:
    """The shortest plan that breaks one of the rules, as far as the time allows."""
    deadline = time.monotonic() + seconds

    def fails(plan: Sequence[Step]) -> bool:
        return time.monotonic() < deadline and bool(run(plan, components).rules & rules)

    shortest = list(steps)
    length = len(shortest) // 2
    while length:
        shortest, is_shorter = _without_stretches(shortest, length, fails)
        if not is_shorter:
            length //= 2
    return _with_simpler_steps(shortest, fails)


def _without_stretches(steps: list[Step], length: int, fails: Fails) -> tuple[list[Step], bool]:
    """Remove each stretch of this length that the failure does not need."""
    before = len(steps)
    at = 0
    while at < len(steps):
        shorter = steps[:at] + steps[at + length :]
        if fails(shorter):
            steps = shorter
        else:
            at += length
    return steps, len(steps) < before


def _with_simpler_steps(steps: list[Step], fails: Fails) -> list[Step]:
    """Make the requests smaller, and run fewer slices between the steps."""
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
