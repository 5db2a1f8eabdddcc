"""Simulated clients and the secret keys that they use.

A client sends one request at a time. It gives up a request without a response, and may send it once more.
It uses a secret key until the key is refused.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    ConflictError,
    OrdinalError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.usecases.applications import rotate_key
from chalicelib.usecases.ports import Ports
from tests.invariants.history import Attempt, History, Span
from tests.simulation.processes import Process, Processes
from tests.simulation.requests import TOKEN, Acknowledged, Request

_TIMEOUT_MS = 30_000


class _Replacement(msgspec.Struct, frozen=True):
    """From now on `version` is the newest key.

    The key before it is valid until `valid_until` (ms); older keys are not valid any more.
    """

    version: int
    valid_until: int
    span: Span


class Keyring:
    """The secret keys of the simulated application, and which of them must be refused."""

    def __init__(self, history: History, processes: Processes) -> None:
        self._history, self._processes = history, processes
        self._replacements: list[_Replacement] = []

    def replace(self, ports: Ports, overlap_seconds: int) -> None:
        """Rotate the key as the admin does. Raises `OrdinalError`: then nothing is promised."""
        began = self._history.now()
        version = rotate_key(ports, TOKEN, None, overlap_seconds).value.key_version
        span = Span(began, self._history.now())
        valid_until = self._processes.now + overlap_seconds * 1_000
        self._replacements.append(_Replacement(version, valid_until, span))

    def replaced(self, version: int) -> tuple[Span, ...]:
        """When this version was replaced. Empty if it may still be accepted."""
        now = self._processes.now
        return tuple(
            replacement.span
            for replacement in self._replacements
            if version < replacement.version - (now < replacement.valid_until)
        )


class _Sent(msgspec.Struct, frozen=True):
    """The request that a client waits for."""

    request: Request
    attempt: Attempt
    process: Process
    deadline: int
    tries_left: int


class Client:
    """Sends its requests in turn. `name` is its name in the history."""

    def __init__(
        self,
        number: int,
        ports: Ports,
        history: History,
        processes: Processes,
        log: Callable[..., None],
        keyring: Keyring,
        find_tenant: Callable[[], Tenant],
    ) -> None:
        self.number = number
        self.name = f"client {number}"
        self._ports, self._history, self._processes = ports, history, processes
        self._log, self._keyring, self._find_tenant = log, keyring, find_tenant
        self._tenant = find_tenant()
        self._waiting: deque[tuple[Request, int]] = deque()
        self._sent: _Sent | None = None

    def submit(self, request: Request, tries: int) -> None:
        """Send the request after those before it. Without a key it is never sent again."""
        self._waiting.append((request, tries if request.key else 1))
        self.go_on()

    def go_on(self) -> None:
        """Give up a request that was killed or takes too long, and send the next one."""
        sent = self._sent
        if sent is not None:
            is_killed = sent.process not in self._processes.alive
            if not is_killed and self._processes.now < sent.deadline:
                return
            self._log(f"{self.name} gets no response to {sent.request.kind}")
            self._give_up(sent)
        if self._waiting:
            self._send(*self._waiting.popleft())

    def _send(self, request: Request, tries: int) -> None:
        attempt, tenant = request.start(self._history, self.name), self._tenant
        attempt.replaced = self._keyring.replaced(tenant.key_version)
        self._log(f"{self.name} {request}")

        def work() -> None:
            try:
                acknowledged = request.send(self._ports, tenant)
            except OrdinalError as error:
                self._receive(attempt, None, error)
            else:
                self._receive(attempt, acknowledged, None)

        process = self._processes.start(f"{self.name}'s {request.kind}", self.number, work)
        deadline = self._processes.now + _TIMEOUT_MS
        self._sent = _Sent(request, attempt, process, deadline, tries - 1)

    def _receive(
        self, attempt: Attempt, acknowledged: Acknowledged | None, error: OrdinalError | None
    ) -> None:
        sent = self._sent
        if isinstance(error, UnavailableError | ConflictError):
            self._history.record_refusal(f"{attempt} was refused: {error}")
        if sent is None or sent.attempt is not attempt:
            return  # the client has given up this attempt
        if acknowledged:
            self._history.acknowledge(attempt, *acknowledged)
            self._log(f"{self.name} gets {_numbers(acknowledged)} for its {attempt.kind}")
            self._sent = None
        elif isinstance(error, UnavailableError):
            self._log(f"{self.name} gets 503 for its {attempt.kind}: {error}")
            self._give_up(sent)
        else:
            if isinstance(error, UnauthenticatedError):
                self._tenant = self._find_tenant()
            self._history.refuse(attempt)
            self._log(f"{self.name} is refused its {attempt.kind}: {error}")
            self._sent = None

    def _give_up(self, sent: _Sent) -> None:
        self._sent = None
        if sent.tries_left:
            self._waiting.appendleft((sent.request, sent.tries_left))


def _numbers(acknowledged: Acknowledged) -> str:
    first, last, _ = acknowledged
    return str(first) if first == last else f"{first} to {last}"
