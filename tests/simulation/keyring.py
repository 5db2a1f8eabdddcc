"""The secret keys of the simulated application: who replaces them, and which must be refused by now."""

import msgspec

from chalicelib.usecases.applications import rotate_key
from chalicelib.usecases.ports import Ports
from tests.promises.history import History, Span
from tests.simulation.processes import Processes
from tests.simulation.requests import TOKEN


class _Replacement(msgspec.Struct, frozen=True):
    """The key before `version` is valid until `until` (ms), those before that one not any more."""

    version: int
    until: int
    span: Span


class Keyring:
    """Replaces the key, and knows what is promised of those before it."""

    def __init__(self, history: History, processes: Processes) -> None:
        self._history, self._processes = history, processes
        self._done: list[_Replacement] = []

    def replace(self, ports: Ports, overlap_seconds: int) -> None:
        """As the admin does it. Raises `OrdinalError`: then nothing is promised."""
        began = self._history.now()
        version = rotate_key(ports, TOKEN, None, overlap_seconds).state.key_version
        span = Span(began, self._history.now())
        until = self._processes.now + overlap_seconds * 1_000
        self._done.append(_Replacement(version, until, span))

    def replaced(self, version: int) -> tuple[Span, ...]:
        """When this version was replaced, where it must be refused since."""
        now = self._processes.now
        return tuple(one.span for one in self._done if version < one.version - (now < one.until))
