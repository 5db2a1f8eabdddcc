"""`python -m tests.bench STACK_FILE`: the benchmarks on the running stack `bench`, and a table of rows."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path

from infra.local.console import complain, plain, say
from tests.bench import accept, cold_start, growth, lag, memory, page, persist, search, trickle
from tests.bench.ground import Ground
from tests.bench.rows import Row, differences, table, write

SILENT = Path(os.devnull).open("w")  # noqa: SIM115 as long as the process: the log keeps it

type Benchmark = Callable[[Ground], Iterator[Row]]

# In this process, with nothing else that works off what is measured.
ALONE: dict[str, Benchmark] = {
    "accept_one": accept.accept_one,
    "accept_batch": accept.accept_batch,
    "accept_script": accept.accept_script,
    "persist_batch": persist.persist_batch,
    "persist_old_style": persist.persist_old_style,
    "index_batch": persist.index_batch,
    "page": page.page,
    "search": search.search,
    "memory": memory.memory,
    "cold_start": cold_start.cold_start,
    "lag": lag.lag,
    "trickle": trickle.trickle,
}
# Through API Gateway, with the functions that are deployed.
DEPLOYED: dict[str, Benchmark] = {"import": growth.bulk_import, "growth": growth.growth}


def main() -> int:
    """Run what was asked for; 0 where every goal was reached."""
    arguments = _parse()
    wanted = _wanted(arguments.only)
    ground, rows = Ground(arguments.stack_file), list[Row]()
    with ground.alone():
        ground.migrate()
        _run({name: one for name, one in ALONE.items() if name in wanted}, ground, rows)
    _run({name: one for name, one in DEPLOYED.items() if name in wanted}, ground, rows)
    plain("\n" + table(rows) + "\n")
    for line in differences(rows):
        plain(line)
    return 0 if all(row.reached is not False for row in rows) else 1


def _run(benchmarks: Mapping[str, Benchmark], ground: Ground, rows: list[Row]) -> None:
    for name, benchmark in benchmarks.items():
        say(f"{name} …")
        ground.empty()
        measured = benchmark(ground)
        while row := _next(measured):
            rows.append(row)
            write(rows)
            say(_told(row))


def _next(rows: Iterator[Row]) -> Row | None:
    """Measure one more; the functions' own lines go where nobody waits for them."""
    with redirect_stdout(SILENT):
        return next(rows, None)


def _wanted(only: str | None) -> list[str]:
    names = [*ALONE, *DEPLOYED]
    chosen = [name for name in names if only is None or name.startswith(tuple(only.split(",")))]
    if not chosen:
        complain(f"There is no benchmark {only}; there are: {', '.join(names)}.")
        raise SystemExit(2)
    return chosen


def _told(row: Row) -> str:
    ratio = "" if row.ratio is None else f", {row.ratio:.3g} × its floor"
    reached = {None: "", True: f" ({row.goal}: reached)", False: f" ({row.goal}: NOT reached)"}
    return f"  {row.name}: {row.value:.4g} {row.unit}{ratio}{reached[row.reached]}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("stack_file", type=Path, help="the stack's stack.json")
    parser.add_argument("--only", help="the beginnings of names, with commas between them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
