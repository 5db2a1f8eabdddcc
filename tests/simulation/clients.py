"""Clients: one request at a time each; what has no answer in time is given up, and perhaps sent again.

Each goes on with the secret key that it has until that is refused."""

from collections import deque
from collections.abc import Callable

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import OrdinalError, UnauthenticatedError, UnavailableError
from chalicelib.usecases.ports import Ports
from tests.promises.history import Act, History
from tests.simulation.keyring import Keyring
from tests.simulation.processes import Process, Processes
from tests.simulation.requests import Answer, Request

_PATIENCE_MS = 30_000


class _Try(msgspec.Struct, frozen=True):
    request: Request
    act: Act
    process: Process
    until: int
    tries_left: int


class Client:
    """Sends its requests in turn. `name` is what the history calls it."""

    def __init__(
        self,
        number: int,
        ports: Ports,
        history: History,
        processes: Processes,
        say: Callable[..., None],
        keyring: Keyring,
        find_tenant: Callable[[], Tenant],
    ) -> None:
        self.number = number
        self.name = f"client {number}"
        self._ports, self._history, self._processes = ports, history, processes
        self._say, self._keyring, self._find_tenant = say, keyring, find_tenant
        self._tenant = find_tenant()
        self._inbox: deque[tuple[Request, int]] = deque()
        self._now: _Try | None = None

    def ask(self, request: Request, tries: int) -> None:
        """Send it as soon as those before it have ended; again with its key where it has no answer."""
        self._inbox.append((request, tries if request.key else 1))
        self.go_on()

    def go_on(self) -> None:
        """Give up what takes too long or was killed, and send what is next."""
        now = self._now
        if now is not None:
            is_gone = now.process not in self._processes.alive
            if not is_gone and self._processes.now < now.until:
                return
            self._say(f"{self.name} gets no answer to {now.request.kind}")
            self._unanswered(now)
        if self._inbox:
            self._send(*self._inbox.popleft())

    def _send(self, request: Request, tries: int) -> None:
        act, tenant = request.begin(self._history, self.name), self._tenant
        act.replaced = self._keyring.replaced(tenant.key_version)
        self._say(f"{self.name} {request}")

        def work() -> None:
            try:
                answer = request.send(self._ports, tenant)
            except OrdinalError as error:
                self._ended(act, None, error)
            else:
                self._ended(act, answer, None)

        process = self._processes.start(f"{self.name}'s {request.kind}", self.number, work)
        until = self._processes.now + _PATIENCE_MS
        self._now = _Try(request, act, process, until, tries - 1)

    def _ended(self, act: Act, answer: Answer | None, error: OrdinalError | None) -> None:
        now = self._now
        if now is None or now.act is not act:
            return  # the client has given it up
        if answer:
            self._history.acknowledge(act, *answer)
            self._say(f"{self.name} is told {_numbers(answer)} for its {act.kind}")
            self._now = None
        elif isinstance(error, UnavailableError):
            self._say(f"{self.name} is told 503 for its {act.kind}: {error}")
            self._unanswered(now)
        else:
            if isinstance(error, UnauthenticatedError):
                self._tenant = self._find_tenant()
            self._history.refuse(act)
            self._say(f"{self.name} is told for its {act.kind}: {error}")
            self._now = None

    def _unanswered(self, now: _Try) -> None:
        self._now = None
        if now.tries_left:
            self._inbox.appendleft((now.request, now.tries_left))


def _numbers(answer: Answer) -> str:
    first, last, _ = answer
    return str(first) if first == last else f"{first} to {last}"
