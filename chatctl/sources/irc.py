"""IRC logs: one file a day, `2004-12-25.txt`, which is one chat."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from chalicelib.domain.models import Timestamp
from chalicelib.domain.requests import MessageRequest
from chatctl.errors import BrokenLineError
from chatctl.sources.base import SkippedLines, Source, SourceSet, checked

_TIME = r"\[((?:[01][0-9]|2[0-3]):[0-5][0-9])\] "
_MESSAGE = re.compile(_TIME + r"<([^>]+)>(?: (.*))?", re.DOTALL)
_ACTION = re.compile(_TIME + r"\* (\S+)(?: (.*))?", re.DOTALL)
_NOTICE = re.compile(_TIME + r"-[^ ]+- ")
_INDENTED_ACTION = re.compile(_TIME + r" \* ")
# Some lines have a nick and no text. The API refuses a blank body, and without such a line the numbers after
# it would differ from those of the log.
NO_TEXT = "∅"


def is_day_file(path: Path) -> bool:
    """Whether the name is a day. Licences and notes often lie beside logs."""
    try:
        return path.suffix == ".txt" and date.fromisoformat(path.stem).isoformat() == path.stem
    except ValueError:
        return False


def parse_line(text: str, day: str) -> dict[str, Any] | str:
    """The fields of a message; if the line is not a message, its kind."""
    if message := _MESSAGE.fullmatch(text):
        return _fields(day, message, {})
    if action := _ACTION.fullmatch(text):
        return _fields(day, action, {"action": True})
    if text.startswith("==="):
        return "system"
    if not text.strip():
        return "empty"
    if _NOTICE.match(text):
        return "notice"
    return "indented action" if _INDENTED_ACTION.match(text) else "other"


def decode(raw: bytes) -> str:
    """Decode a line as UTF-8, or as Latin-1 if it is not UTF-8: no byte of a log is lost."""
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def scan_day(path: Path, now: Timestamp, skip_broken: bool) -> SourceSet:
    """Check every line of the file. The result has one source."""
    skipped, errors, count = SkippedLines(skip_broken), [], 0
    try:
        for _ in _messages(path, now, skipped):
            count += 1
    except BrokenLineError as error:
        errors.append(str(error))

    def read() -> Iterator[MessageRequest]:
        with suppress(BrokenLineError):
            yield from _messages(path, now, SkippedLines(skip_broken))

    source = Source(path.name, path.stem, {"source": path.name}, count, read, bool(errors))
    return SourceSet([source], skipped.counts, errors)


def _messages(path: Path, now: Timestamp, skipped: SkippedLines) -> Iterator[MessageRequest]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            parsed = parse_line(decode(raw), path.stem)
            if isinstance(parsed, str):
                skipped.counts[parsed] += 1
                continue
            try:
                message = checked(parsed, MessageRequest, now)
            except ValueError as error:
                skipped.add_broken(path, number, error)
                continue
            yield message


def _fields(day: str, match: re.Match[str], metadata: dict[str, bool]) -> dict[str, Any]:
    time, nick, text = match.groups(default="")
    blank = not text.strip()
    return {
        "body": NO_TEXT if blank else text,
        "sender": nick,
        "metadata": (metadata | {"empty": True} if blank else metadata) or None,
        "created_at": f"{day}T{time}:00Z",
    }
