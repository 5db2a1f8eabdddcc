"""From the paths of a command line to sources."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from chalicelib.domain.models import Timestamp
from chatctl.sources.base import SourceSet
from chatctl.sources.irc import is_day_file, scan_day
from chatctl.sources.ndjson import SUFFIXES, scan_ndjson


def find_sources(
    paths: Sequence[Path], form: str | None, now: Timestamp, skip_broken: bool
) -> SourceSet:
    """The sources of all files, and of the files in directories that have a fitting name.

    `form` is `irc` or `ndjson`; None means that the name of each file decides. Raises `click.UsageError`.
    """
    sources = SourceSet()
    for path in _files(paths, form, sources.skipped):
        scan = scan_day if _form_of(path, form) == "irc" else scan_ndjson
        sources.add(scan(path, now, skip_broken))
    _refuse_same_titles(sources)
    return sources


def _files(paths: Iterable[Path], form: str | None, skipped: Counter[str]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for file in sorted(path.iterdir()):
                if _form_of(file, form):
                    yield file
                elif file.is_file():
                    skipped["file (by its name)"] += 1
        elif _form_of(path, form) or form == "ndjson":
            yield path
        else:
            raise click.UsageError(
                f"{path} is neither a day (2004-12-25.txt) nor .ndjson or .jsonl"
            )


def _form_of(path: Path, wanted: str | None) -> str | None:
    """The format of a file by its name; None if it has no format, or not the wanted one."""
    form = None
    if path.suffix in SUFFIXES:
        form = "ndjson"
    elif is_day_file(path):
        form = "irc"
    return form if wanted in (None, form) else None


def _refuse_same_titles(sources: SourceSet) -> None:
    """Message k of a source is number k of its chat, so two sources cannot fill one chat."""
    names: dict[str, str] = {}
    for source in sources.sources:
        if source.title in names:
            raise click.UsageError(
                f"{names[source.title]} and {source.name} both hold the chat {source.title!r}:"
                " import one of them"
            )
        names[source.title] = source.name
