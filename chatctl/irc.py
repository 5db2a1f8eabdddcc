"""IRC logs: one file a day, `2004-12-25.txt`, one chat a file."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from chalicelib.domain.requests import MessageRequest
from chatctl.failures import BrokenLineError
from chatctl.sources import Contents, Source, Tally, checked

_TIME = r"\[((?:[01][0-9]|2[0-3]):[0-5][0-9])\] "
_MESSAGE = re.compile(_TIME + r"<([^>]+)>(?: (.*))?", re.DOTALL)
_ACTION = re.compile(_TIME + r"\* (\S+)(?: (.*))?", re.DOTALL)
_NOTICE = re.compile(_TIME + r"-[^ ]+- ")
_INDENTED_ACTION = re.compile(_TIME + r" \* ")
# Some lines have a nick and no text. The API refuses a blank body, and without a body the numbers
# behind it would no longer be those of the log.
NO_TEXT = "∅"


def is_day_file(path: Path) -> bool:
    """Whether the name is a day: licences and notes lie beside logs."""
    try:
        return path.suffix == ".txt" and date.fromisoformat(path.stem).isoformat() == path.stem
    except ValueError:
        return False


def parse_line(text: str, day: str) -> dict[str, Any] | str:
    """The fields of a message, or the kind of line that it is instead."""
    if said := _MESSAGE.fullmatch(text):
        return _fields(day, said, {})
    if done := _ACTION.fullmatch(text):
        return _fields(day, done, {"action": True})
    if text.startswith("==="):
        return "system"
    if not text.strip():
        return "empty"
    if _NOTICE.match(text):
        return "notice"
    return "indented action" if _INDENTED_ACTION.match(text) else "other"


def decode(raw: bytes) -> str:
    """UTF-8, or Latin-1 where the line is not: every byte of a log becomes a character."""
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def scan_day(path: Path, now: str, skip_broken: bool) -> Contents:
    """The day's source, after a look at every line."""
    tally, faults, count = Tally(skip_broken), [], 0
    try:
        for _ in _messages(path, now, tally):
            count += 1
    except BrokenLineError as error:
        faults.append(error.message)

    def read() -> Iterator[MessageRequest]:
        with suppress(BrokenLineError):
            yield from _messages(path, now, Tally(skip_broken))

    source = Source(path.name, path.stem, {"source": path.name}, count, read, bool(faults))
    return Contents([source], tally.left_out, faults)


def _messages(path: Path, now: str, tally: Tally) -> Iterator[MessageRequest]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            parsed = parse_line(decode(raw), path.stem)
            if isinstance(parsed, str):
                tally.left_out[parsed] += 1
                continue
            try:
                message = checked(parsed, MessageRequest, now)
            except ValueError as error:
                tally.broken(path, number, error)
                continue
            yield message


def _fields(day: str, found: re.Match[str], metadata: dict[str, bool]) -> dict[str, Any]:
    time, nick, text = found.groups(default="")
    blank = not text.strip()
    return {
        "body": NO_TEXT if blank else text,
        "sender": nick,
        "metadata": (metadata | {"empty": True} if blank else metadata) or None,
        "created_at": f"{day}T{time}:00Z",
    }
