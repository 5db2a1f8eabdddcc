"""The simulation keeps every promise: in runs that are always the same, and in some that are new."""

import logging
import random
from collections.abc import Iterator

import pytest

from tests.simulation.defects import DEFECTS, seeds_until_caught
from tests.simulation.plan import plan_of
from tests.simulation.run import run
from tests.simulation.shrink import shrink

# A run takes 20 ms.
FIXED_SEEDS = range(300)
NEW_SEEDS = range(first := random.SystemRandom().randrange(10**6, 10**9), first + 40)
MOST_SEEDS = 2_000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What fails on purpose need not be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def keeps_every_promise(seeds: range) -> None:
    for seed in seeds:
        again = f"python -m tests.simulation --first {seed} --seeds 1"
        assert run(plan_of(seed)).broken == [], again


@pytest.mark.parametrize("part", range(6))
def test_every_promise_is_kept_in_the_runs_of_always(part: int) -> None:
    keeps_every_promise(FIXED_SEEDS[part::6])


def test_every_promise_is_kept_in_runs_that_are_new() -> None:
    keeps_every_promise(NEW_SEEDS)


@pytest.mark.parametrize("seed", [6, 7])
def test_a_seed_is_always_the_same_run(seed: int) -> None:
    first, second = run(plan_of(seed)), run(plan_of(seed))
    assert first == second
    assert first.trace != run(plan_of(seed + 2)).trace


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_planted_defect_is_caught(defect: str) -> None:
    assert seeds_until_caught(defect, MOST_SEEDS, seconds=240)


def test_a_failing_run_becomes_a_short_story() -> None:
    defect = "the last state wins in the store"
    caught = seeds_until_caught(defect, MOST_SEEDS, seconds=60)
    assert caught
    seed, outcome = caught[0] - 1, caught[1]
    parts, steps = DEFECTS[defect](), plan_of(seed)
    short = shrink(steps, outcome.rules, parts)
    assert len(short) < len(steps) / 2
    assert run(short, parts).rules & outcome.rules
