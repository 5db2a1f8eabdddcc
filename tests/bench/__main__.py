"""`python -m tests.bench STACK_FILE`: the benchmarks on the running stack `bench`, and a table of rows."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import TextIO

from infra.local.console import log, print_raw
from tests.bench import (
    accept,
    capacity,
    cold_start,
    lag,
    memory,
    neighbour,
    new_chats,
    page,
    persist,
    refusal,
    rounds,
    scaling,
    search,
)
from tests.bench.harness import Harness
from tests.bench.rows import Row, differences, table, write

type Benchmark = Callable[[Harness], Iterator[Row]]

# These run in this process, while the deployed functions are stopped.
IN_PROCESS: dict[str, Benchmark] = {
    "accept_one": accept.accept_one,
    "accept_batch": accept.accept_batch,
    "accept_script": accept.accept_script,
    "persist_batch": persist.persist_batch,
    "persist_old_style": persist.persist_old_style,
    "index_batch": persist.index_batch,
    "page": page.page,
    "search": search.search,
    "memory": memory.memory,
    "capacity": capacity.capacity,
    "cold_start": cold_start.cold_start,
    "lag": lag.lag,
    "neighbour": neighbour.neighbour,
    "refusal": refusal.refusal,
    "rounds": rounds.rounds,
}
# These use the deployed functions, through API Gateway.
DEPLOYED: dict[str, Benchmark] = {
    "import": scaling.bulk_import,
    "new_chats": new_chats.new_chats,
    "scaling": scaling.scaling,
}
# The names; `--only` takes their prefixes.
NAMES = (*IN_PROCESS, *DEPLOYED)


def main() -> int:
    """Run the chosen benchmarks; 0 if every goal was reached."""
    arguments = _parse()
    if arguments.list:
        print_raw("\n".join(NAMES))
        return 0
    harness, rows = Harness(arguments.stack_file), list[Row]()
    with harness.alone():
        harness.migrate()
        _run(IN_PROCESS, arguments.only, harness, rows)
    _run(DEPLOYED, arguments.only, harness, rows)
    print_raw("\n" + table(rows) + "\n")
    for line in differences(rows):
        print_raw(line)
    return 0 if all(row.reached is not False for row in rows) else 1


def _run(
    benchmarks: Mapping[str, Benchmark], chosen: list[str], harness: Harness, rows: list[Row]
) -> None:
    for name, benchmark in benchmarks.items():
        if name not in chosen:
            continue
        log(f"{name} …")
        harness.purge_queues()
        measured = benchmark(harness)
        while row := _next(measured):
            rows.append(row)
            write(rows)
            log(_sentence(row))


def _next(rows: Iterator[Row]) -> Row | None:
    """Measure one more row. The log of the functions goes to /dev/null."""
    with redirect_stdout(_null_file()):
        return next(rows, None)


@cache
def _null_file() -> TextIO:
    """Stays open until the process ends, because the logger holds it."""
    return Path(os.devnull).open("w")


def _sentence(row: Row) -> str:
    ratio = "" if row.ratio is None else f", {row.ratio:.3g} × its floor"
    reached = {None: "", True: f" ({row.goal}: reached)", False: f" ({row.goal}: NOT reached)"}
    return f"  {row.name}: {row.value:.4g} {row.unit}{ratio}{reached[row.reached]}"


def _names(text: str) -> list[str]:
    prefixes = text.split(",")
    for prefix in prefixes:
        if not prefix or not any(name.startswith(prefix) for name in NAMES):
            raise argparse.ArgumentTypeError(
                f"There is no benchmark {prefix!r}. There are: {', '.join(NAMES)}."
            )
    return [name for name in NAMES if name.startswith(tuple(prefixes))]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("stack_file", type=Path, nargs="?", help="the stack's stack.json")
    parser.add_argument(
        "--only", type=_names, default=list(NAMES), help="prefixes of names, with commas"
    )
    parser.add_argument("--list", action="store_true", help="print the names and exit")
    arguments = parser.parse_args()
    if not arguments.list and arguments.stack_file is None:
        parser.error("name the stack file")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
