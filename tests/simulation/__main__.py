"""`python -m tests.simulation --seeds 10000`: many runs, and the short story of each that fails."""

import argparse
import logging
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.simulation.plan import plan_of
from tests.simulation.run import Outcome, run
from tests.simulation.shrink import shrink

_PROGRESS_SECONDS = 5
_STORIES = 5


def main() -> int:
    """0 where no promise was broken."""
    arguments = _parse()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    started = told = time.monotonic()
    failed: list[int] = []
    rules: Counter[str] = Counter()
    chunks = 0
    with Pool(arguments.jobs, be_quiet) as pool:
        for done, (seed, outcome) in enumerate(pool.imap(_run_seed, seeds, chunksize=20), 1):
            chunks += outcome.chunks
            if outcome.broken:
                failed.append(seed)
                rules.update(outcome.rules)
                print(f"seed {seed}: {outcome.broken[0]}", flush=True)
            now = time.monotonic()
            if done == len(seeds) or now - told > _PROGRESS_SECONDS:
                told = now
                rate = f"{done / (now - started):.0f} runs/s, {chunks} slices, {len(failed)} failed"
                print(f"{done} of {len(seeds)} runs, {rate}", flush=True)
    be_quiet()
    for seed in failed[: arguments.stories]:
        tell(seed)
    if failed:
        print(f"\nbroken: {dict(rules)}")
    return 1 if failed else 0


def tell(seed: int) -> None:
    """Print the shortest story in which the same promise is broken."""
    steps = plan_of(seed)
    short = shrink(steps, run(steps).rules)
    outcome = run(short, watch=True)
    print(f"\nseed {seed}, {len(short)} of {len(steps)} steps")
    print(*(f"  {line}" for line in outcome.story), *outcome.broken, sep="\n")


def _run_seed(seed: int) -> tuple[int, Outcome]:
    return seed, run(plan_of(seed))


def be_quiet() -> None:
    """What fails on purpose need not be logged."""
    logging.disable(logging.CRITICAL)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed; odd ones lose memory")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once")
    parser.add_argument("--stories", type=int, default=_STORIES, help="how many failures to shrink")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
