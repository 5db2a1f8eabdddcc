"""The services of a stack. Each module starts one of them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.local.paths import Stack
from infra.local.stack_secrets import StackSecrets


@dataclass(frozen=True)
class Command:
    """A program with its arguments, working directory and environment."""

    words: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)


class Service(Protocol):
    """A server that a stack can start."""

    @property
    def name(self) -> str:
        """The name in `stack.json` and of the log."""
        ...

    @property
    def title(self) -> str:
        """The name in messages."""
        ...

    @property
    def port_names(self) -> tuple[str, ...]:
        """The names of the ports on which it listens."""
        ...

    @property
    def start_timeout_seconds(self) -> float:
        """How long a start can take."""
        ...

    def url(self, stack: Stack, secrets: StackSecrets) -> str:
        """The address for the functions."""
        ...

    def prepare(self, stack: Stack, secrets: StackSecrets) -> None:
        """Create what the service needs before its start: a data directory, a configuration."""
        ...

    def command(self, stack: Stack, secrets: StackSecrets) -> Command:
        """The command that runs the service."""
        ...

    def is_ready(self, stack: Stack, secrets: StackSecrets) -> bool:
        """Whether the service answers."""
        ...


def clean_environment(stack: Stack) -> dict[str, str]:
    """The environment of a service. Nothing of the person's shell or home reaches it."""
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
    """Empty a folder, or create it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
