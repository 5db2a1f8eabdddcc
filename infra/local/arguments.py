"""The command line, checked as a whole before anything is installed or started."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from infra.local.paths import DEFAULT_PORTS

type Handler = Callable[[argparse.Namespace], int | None]

# `tests.faults` and `tests.bench` have these names too, but cannot be imported before the installation.
# A test compares them.
FAULTS = (
    "persist-killed",
    "index-killed",
    "inbox-killed",
    "api-killed",
    "database-down",
    "database-read-only",
    "search-down",
    "redis-flushed",
    "redis-restarted",
    "redis-restored",
    "replica-attached",
    "failover",
    "split-brain",
    "queue-down",
    "queue-responses-lost",
    "services-slow",
    "services-reset",
    "services-hang",
    "delivered-twice",
    "clocks-apart",
)
BENCHMARKS = (
    "accept_one",
    "accept_batch",
    "accept_script",
    "persist_batch",
    "persist_old_style",
    "index_batch",
    "page",
    "search",
    "memory",
    "capacity",
    "cold_start",
    "lag",
    "neighbour",
    "refusal",
    "rounds",
    "import",
    "new_chats",
    "scaling",
)


class _Parser(argparse.ArgumentParser):
    """A parser that prints our own sentences only: a caller of `make` has not seen the option."""

    def error(self, message: str) -> NoReturn:
        _, _, sentence = message.partition(": ")
        self.exit(2, f"{sentence if sentence.endswith('.') else message}\n")


def parse(
    commands: Mapping[str, Handler], description: str | None, words: list[str] | None = None
) -> argparse.Namespace:
    """The checked arguments; `command` in them is the function to call.

    Raises:
        SystemExit: an argument is wrong. The reason was printed.
    """
    parser = _Parser(prog="python -m infra.local", description=description)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, command in commands.items():
        subparser = parsers[name] = subparsers.add_parser(name, help=command.__doc__)
        subparser.add_argument("--stack", type=_stack, default="local", help="the stack's name")
        subparser.set_defaults(command=command, fresh=False)
    for name in ("run", "up"):
        parsers[name].add_argument("--fresh", action="store_true", help="without old data")
    for name in ("deploy", "destroy"):
        stage = "a stack's name, or the name of a stage on AWS"
        parsers[name].add_argument("--stage", default="local", help=stage)
    parsers["destroy"].add_argument("--with-data", action="store_true", help="the data as well")
    simulate, test = parsers["simulate"], parsers["test"]
    simulate.add_argument("--seeds", type=_count_of("SEEDS"), required=True, help="how many runs")
    simulate.add_argument("--jobs", type=_count_of("JOBS"), required=True, help="runs at once")
    test.add_argument("--only-tests", action="store_true", help="without the static checks")
    test.add_argument("pytest_arguments", nargs="*", help="passed on to pytest (after --)")
    parsers["faults"].add_argument("--only", type=_faults, help="names of faults, with commas")
    parsers["faults"].add_argument("--mix", type=_minutes, help="minutes of random faults")
    help_text = "prefixes of names of benchmarks, with commas"
    parsers["bench"].add_argument("--only", type=_benchmarks, help=help_text)
    arguments = parser.parse_args(words)
    if getattr(arguments, "mix", None) and arguments.only:
        parser.error("ONLY and MIX exclude each other.")
    return arguments


def _stack(name: str) -> str:
    if name not in DEFAULT_PORTS:
        raise _unknown("stack", name, DEFAULT_PORTS)
    return name


def _faults(names: str) -> str:
    for name in names.split(","):
        if name not in FAULTS:
            raise _unknown("fault", name, FAULTS)
    return names


def _benchmarks(names: str) -> str:
    for name in names.split(","):
        if not name or not any(known.startswith(name) for known in BENCHMARKS):
            raise _unknown("benchmark", name, BENCHMARKS)
    return names


def _unknown(kind: str, name: str, known: Iterable[str]) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(
        f"There is no {kind} {name!r}. There are: {', '.join(known)}."
    )


def _count_of(variable: str) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isdecimal() or not int(text):
            raise argparse.ArgumentTypeError(f"{variable}={text}: give a whole number above 0.")
        return int(text)

    return count


def _minutes(text: str) -> str:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"MIX={text}: give a number of minutes above 0.")
    return text
