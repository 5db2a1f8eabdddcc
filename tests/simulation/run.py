"""Runs a plan and holds what came of it against the promises."""

import traceback
from collections.abc import Sequence

import msgspec

from tests.promises.check import broken
from tests.simulation.calm import calm_down
from tests.simulation.plan import Step
from tests.simulation.simulation import REAL, Parts, Simulation


class Outcome(msgspec.Struct, frozen=True):
    """What one run came to. `trace` tells two runs apart; `slices` is how much was done."""

    broken: list[str]
    story: list[str]
    trace: int
    chunks: int

    @property
    def rules(self) -> set[str]:
        """The names of the rules that were broken."""
        return {said.split(":")[0] for said in self.broken}


def run(steps: Sequence[Step], parts: Parts = REAL, watch: bool = False) -> Outcome:
    """Follow the steps, calm down, check. With `watch` the story tells every call of a part."""
    story: list[str] = []
    simulation = Simulation(story.append, parts)
    if watch:
        simulation.faults.watch = story.append
    try:
        simulation.follow(steps)
        found = broken(simulation.history, calm_down(simulation))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = [f"crashed: {error!r} in {where.name}"]
        story.append(traceback.format_exc())
    finally:
        simulation.faults.closed = True
        simulation.processes.close()
    return Outcome(found, story, simulation.faults.trace, simulation.processes.chunks)
