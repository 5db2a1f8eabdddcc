"""The simulation holds every promise in the fixed runs, and it catches planted defects."""

import logging
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from infra.local import checks
from tests.simulation.__main__ import replay_command
from tests.simulation.defects import DEFECTS, seeds_until_caught
from tests.simulation.plan import plan_of
from tests.simulation.ports import CALLS, KEY_CALLS, LEASE_CALLS
from tests.simulation.run import run, shrink

# A run takes 20 ms. `make simulate` runs fresh seeds.
FIXED_SEEDS = range(300)
MOST_SEEDS = 2_000


@pytest.fixture(autouse=True)
def _no_logging() -> Iterator[None]:
    """Do not log the errors that the simulation causes on purpose."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", range(6))
def test_every_promise_holds_in_the_fixed_runs(part: int) -> None:
    for seed in FIXED_SEEDS[part::6]:
        assert run(plan_of(seed)).broken == [], replay_command(seed)


def test_make_simulate_runs_fresh_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run_command(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run_command)
    assert checks.run_simulation(seeds=3, jobs=1) == 0
    [command] = commands
    assert command[1:4] == ["-m", "tests.simulation", "--fresh"]


@pytest.mark.parametrize("seed", [6, 7])
def test_a_seed_is_always_the_same_run(seed: int) -> None:
    first, second = run(plan_of(seed)), run(plan_of(seed))
    assert first == second
    assert first.trace != run(plan_of(seed + 2)).trace


def test_ambushes_name_the_calls_of_leases_and_keys() -> None:
    """A renamed call fails this test, so that its name changes here too."""
    assert sorted(LEASE_CALLS) == [
        "sequencer.abandon_nonce",
        "sequencer.discard_lease",
        "sequencer.extend_lease",
        "sequencer.forget_released",
        "sequencer.install_lease",
        "sequencer.is_acquiring",
        "sequencer.mark_releasing",
        "store.acquire_lease",
        "store.extend_lease",
        "store.lease_epoch",
        "store.release_leases",
    ]
    assert sorted(KEY_CALLS) == [
        "sequencer.cache_application",
        "sequencer.invalidate_key_cache",
        "store.get_application",
        "store.rotate_key",
    ]
    assert len(CALLS) == len(set(CALLS)) > 40


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_planted_defect_is_caught(defect: str) -> None:
    assert seeds_until_caught(defect, MOST_SEEDS, seconds=240)


def test_a_failing_run_becomes_a_short_story() -> None:
    defect = "the last version wins in the store"
    caught = seeds_until_caught(defect, MOST_SEEDS, seconds=60)
    assert caught
    seed, outcome = caught[0] - 1, caught[1]
    components, steps = DEFECTS[defect](), plan_of(seed)
    short = shrink(steps, outcome.rules, components)
    assert len(short) < len(steps) / 2
    assert run(short, components).rules & outcome.rules
