"""From the paths of a command line to sources."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from chatctl.irc import is_day_file, scan_day
from chatctl.ndjson import SUFFIXES, scan_ndjson
from chatctl.sources import Contents


def gather(paths: Sequence[Path], form: str | None, now: str, skip_broken: bool) -> Contents:
    """All sources of files, and of the files of directories whose names fit.

    `form` is `irc`, `ndjson`, or None to tell by the name of each file.
    """
    contents = Contents()
    for path in _files(paths, form, contents.left_out):
        scan = scan_day if _form(path, form) == "irc" else scan_ndjson
        contents.add(scan(path, now, skip_broken))
    _refuse_doubles(contents)
    return contents


def _files(paths: Iterable[Path], form: str | None, left_out: Counter[str]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for file in sorted(path.iterdir()):
                if _form(file, form):
                    yield file
                elif file.is_file():
                    left_out["file (by its name)"] += 1
        elif _form(path, form) or form == "ndjson":
            yield path
        else:
            raise click.UsageError(
                f"{path} is neither a day (2004-12-25.txt) nor .ndjson or .jsonl"
            )


def _form(path: Path, form: str | None) -> str | None:
    """The format of a file by its name; None where it is not of the one that is asked for."""
    found = None
    if path.suffix in SUFFIXES:
        found = "ndjson"
    elif is_day_file(path):
        found = "irc"
    return found if form in (None, found) else None


def _refuse_doubles(contents: Contents) -> None:
    """Two sources that fill one chat would mix: the k-th message of a source is number k."""
    named: dict[str, str] = {}
    for source in contents.sources:
        if source.title in named:
            both = f"{named[source.title]} and {source.name} both hold"
            raise click.UsageError(f"{both} the chat {source.title!r}: give one of them")
        named[source.title] = source.name
