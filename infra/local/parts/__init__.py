"""The four services of a stack, each with the same few questions to answer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.local.keys import Keys
from infra.local.layout import Stack


@dataclass(frozen=True)
class Launch:
    """How a service is started."""

    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)


class Part(Protocol):
    """One service."""

    @property
    def name(self) -> str:
        """The name in `stack.json` and of the log."""
        ...

    @property
    def title(self) -> str:
        """The name for people."""
        ...

    @property
    def port_names(self) -> tuple[str, ...]:
        """The names of the ports it listens on."""
        ...

    @property
    def patience_seconds(self) -> float:
        """How long a start may take."""
        ...

    def url(self, stack: Stack, keys: Keys) -> str:
        """The address that the functions are given."""
        ...

    def prepare(self, stack: Stack, keys: Keys) -> None:
        """Make what the service needs before it can start (a data directory, a config file)."""
        ...

    def launch(self, stack: Stack, keys: Keys) -> Launch:
        """What to run."""
        ...

    def is_ready(self, stack: Stack, keys: Keys) -> bool:
        """Whether it answers."""
        ...


def clean_environment(stack: Stack) -> dict[str, str]:
    """What a service inherits: nothing of the person's shell, nothing of their home."""
    home = stack.scratch / "home"
    temporary = stack.scratch / "tmp"
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def wipe(folder: Path) -> None:
    """Make a folder empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
