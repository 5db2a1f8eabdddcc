"""`python -m tests.simulation --seeds 10000`: many runs, and a short story of each failing run."""

import argparse
import logging
import random
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.simulation.plan import plan_of
from tests.simulation.run import Outcome, run, shrink

_PROGRESS_SECONDS = 5
_STORIES = 5
# Fresh seeds lie far above the fixed seeds of the tests.
_FRESH_FROM, _FRESH_TO = 10**6, 10**9


def main() -> int:
    """0 if every run held all promises."""
    arguments = _parse()
    if arguments.fresh:
        arguments.first = random.SystemRandom().randrange(_FRESH_FROM, _FRESH_TO)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    print(f"seeds {seeds.start} to {seeds.stop - 1}", flush=True)
    started = printed = time.monotonic()
    failed: list[int] = []
    rules: Counter[str] = Counter()
    slices = 0
    with Pool(arguments.jobs, disable_logging) as pool:
        for done, (seed, outcome) in enumerate(pool.imap(_run_seed, seeds, chunksize=20), 1):
            slices += outcome.slices
            if outcome.broken:
                failed.append(seed)
                rules.update(outcome.rules)
                print(f"seed {seed}: {outcome.broken[0]}", flush=True)
            now = time.monotonic()
            if done == len(seeds) or now - printed > _PROGRESS_SECONDS:
                printed = now
                rate = f"{done / (now - started):.0f} runs/s, {slices} slices, {len(failed)} failed"
                print(f"{done} of {len(seeds)} runs, {rate}", flush=True)
    disable_logging()
    for seed in failed[: arguments.stories]:
        print_story(seed)
    if failed:
        print(f"\nbroken: {dict(rules)}")
    return 1 if failed else 0


def print_story(seed: int) -> None:
    """Print how to replay the seed, and the shortest story that breaks the same promise."""
    steps = plan_of(seed)
    short = shrink(steps, run(steps).rules)
    outcome = run(short, watch=True)
    print(f"\nseed {seed}, {len(short)} of {len(steps)} steps; replay: {replay_command(seed)}")
    print(*(f"  {line}" for line in outcome.story), *outcome.broken, sep="\n")


def replay_command(seed: int) -> str:
    """The command that runs this seed again."""
    return f"python -m tests.simulation --first {seed} --seeds 1"


def disable_logging() -> None:
    """Do not log the errors that the simulation causes on purpose."""
    logging.disable(logging.CRITICAL)


def _run_seed(seed: int) -> tuple[int, Outcome]:
    return seed, run(plan_of(seed))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="number of runs")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--first", type=int, default=0, help="first seed; odd seeds lose data")
    start.add_argument("--fresh", action="store_true", help="start at a random seed")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument(
        "--stories", type=int, default=_STORIES, help="number of failures to shrink"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
