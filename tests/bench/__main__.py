"""`python -m tests.bench STACK_FILE`: the benchmarks on the running stack `bench`, and a table of rows."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

from infra.local.console import complain, plain, say
from tests.bench import accept, cold_start, memory, page, persist, search
from tests.bench.ground import Ground
from tests.bench.rows import Row, differences, table, write

SILENT = Path(os.devnull).open("w")  # noqa: SIM115 as long as the process: the log keeps it

type Benchmark = Callable[[Ground], Iterator[Row]]

BENCHMARKS: tuple[Benchmark, ...] = (
    accept.accept_one,
    accept.accept_batch,
    accept.accept_script,
    persist.persist_batch,
    persist.persist_old_style,
    persist.index_batch,
    page.page,
    search.search,
    memory.memory,
    cold_start.cold_start,
)


def main() -> int:
    """Run what was asked for; 0 where every goal was reached."""
    arguments = _parse()
    chosen = _chosen(arguments.only)
    ground = Ground(arguments.stack_file)
    rows: list[Row] = []
    with ground.alone():
        ground.migrate()
        for benchmark in chosen:
            say(f"{benchmark.__name__} …")
            measured = benchmark(ground)
            while row := _next(measured):
                rows.append(row)
                write(rows)
                say(_told(row))
    plain("\n" + table(rows))
    for line in differences(rows):
        plain(line)
    return 0 if all(row.reached is not False for row in rows) else 1


def _next(rows: Iterator[Row]) -> Row | None:
    """Measure one more; the functions' own lines go where nobody waits for them."""
    with redirect_stdout(SILENT):
        return next(rows, None)


def _chosen(only: str | None) -> list[Benchmark]:
    if only is None:
        return list(BENCHMARKS)
    wanted = tuple(only.split(","))
    chosen = [one for one in BENCHMARKS if one.__name__.startswith(wanted)]
    if not chosen:
        complain(
            f"There is no benchmark {only}; there are: {', '.join(b.__name__ for b in BENCHMARKS)}."
        )
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
