"""What is to be imported: a source is what one chat shall hold, and files hold sources.

A file is read twice: first to check and count it, so that every broken line is known before anything
is sent; then chat by chat while it is sent, so that it need not fit into memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.requests import MessageRequest, check_request
from chatctl.failures import BrokenLineError


@dataclass(frozen=True)
class Source:
    """The messages of one chat. `name` tells it from all others, wherever its file lies.

    `cut` says that a broken line ended it early: the chat may hold more.
    """

    name: str
    title: str
    metadata: dict[str, Any]
    count: int
    read: Callable[[], Iterator[MessageRequest]]
    cut: bool = False


@dataclass
class Contents:
    """What files hold: sources, lines that are no messages by kind, and what is wrong."""

    sources: list[Source] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Contents") -> None:
        self.sources += other.sources
        self.left_out += other.left_out
        self.faults += other.faults


@dataclass
class Tally:
    """Counts the lines of a file that are no messages, by kind."""

    skip_broken: bool
    left_out: Counter[str] = field(default_factory=Counter)

    def broken(self, path: Path, line: int, error: ValueError) -> None:
        """Count it where the operator wants to go on; otherwise raises `BrokenLineError`."""
        if not self.skip_broken:
            raise BrokenLineError(f"{path}, line {line}: {error}")
        self.left_out["broken"] += 1


def checked[T: msgspec.Struct](given: dict[str, Any] | bytes, kind: type[T], now: str) -> T:
    """The request, if it keeps all rules of the API. Raises `ValueError` with the rule that it breaks.

    What the API would refuse is found here, where the line is still known.
    """
    try:
        if isinstance(given, bytes):
            request = msgspec.json.decode(given, type=kind)
        else:
            request = msgspec.convert(given, kind)
        check_request(request, now)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, InvalidError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return request
