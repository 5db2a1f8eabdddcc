"""What an import reads: a source has the messages of one chat, and a file has one source or several.

A file is read twice. The first time checks and counts its lines, so that every broken line is known before
anything is sent. The second time sends its messages, chat by chat, so that the file need not fit in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.models import Timestamp
from chalicelib.domain.requests import MessageRequest, check_request
from chatctl.errors import BrokenLineError


@dataclass(frozen=True)
class Source:
    """The messages of one chat. `name` identifies the source, wherever its file lies.

    `truncated` says that a broken line ended it early: the chat may hold more.
    """

    name: str
    title: str
    metadata: dict[str, Any]
    count: int
    read: Callable[[], Iterator[MessageRequest]]
    truncated: bool = False


@dataclass
class SourceSet:
    """The sources of some files, the lines that are not messages, by kind, and the errors."""

    sources: list[Source] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def add(self, other: "SourceSet") -> None:
        self.sources += other.sources
        self.skipped += other.skipped
        self.errors += other.errors


@dataclass
class SkippedLines:
    """Counts the lines of a file that are not messages, by kind."""

    skip_broken: bool
    counts: Counter[str] = field(default_factory=Counter)

    def add_broken(self, path: Path, line: int, error: ValueError) -> None:
        """Count a broken line. Raises `BrokenLineError` unless broken lines are to be skipped."""
        if not self.skip_broken:
            raise BrokenLineError(f"{path}, line {line}: {error}")
        self.counts["broken"] += 1


def checked[T: msgspec.Struct](content: dict[str, Any] | bytes, kind: type[T], now: Timestamp) -> T:
    """The request, if it obeys all rules of the API. Raises `ValueError` with the rule that it breaks.

    So a line that the API would refuse is found while its number is still known.
    """
    try:
        if isinstance(content, bytes):
            request = msgspec.json.decode(content, type=kind)
        else:
            request = msgspec.convert(content, kind)
        check_request(request, now)
    except (msgspec.MsgspecError, InvalidError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return request
