"""A client that runs the use cases in this process, with its own Redis server or its own clock."""

import threading
import time

from chalicelib.adapters.runtime import SystemClock
from chalicelib.bootstrap import Adapters
from chalicelib.domain.auth import Tenant, check_key
from chalicelib.domain.errors import OrdinalError, UnauthenticatedError, UnavailableError
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from chalicelib.domain.times import rfc3339
from chalicelib.settings import Settings
from chalicelib.usecases.accept import create_message
from chalicelib.usecases.repair import repair_pending
from tests.fakes.ports import far_deadline
from tests.faults.load import Load

_PAUSE_SECONDS = 0.15
_REPAIR_EVERY = 20


class ShiftedClock(SystemClock):
    """A clock that differs from the machine's clock by a fixed time."""

    def __init__(self, shift_seconds: int) -> None:
        self._shift_ms = shift_seconds * 1000

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms


class InProcessClient(threading.Thread):
    """Posts to the chats of the load until it is stopped. With `repairs` it also runs the repair."""

    def __init__(
        self,
        load: Load,
        settings: Settings,
        name: str,
        shift_seconds: int = 0,
        *,
        repairs: bool = False,
    ) -> None:
        super().__init__(name=name)
        self._load, self._stopping, self._repairs = load, threading.Event(), repairs
        self._settings, self._ports = settings, Adapters(settings, for_requests=True)
        self._ports.__dict__["clock"] = ShiftedClock(shift_seconds)
        self.acknowledged = 0

    def run(self) -> None:
        count = 0
        while not self._stopping.wait(_PAUSE_SECONDS):
            count += 1
            self._post(self._load.chats[count % len(self._load.chats)], count)
            if self._repairs and count % _REPAIR_EVERY == 0:
                self._repair()

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        self._ports.sequencer.close()  # type: ignore[attr-defined]

    def _post(self, chat: int, count: int) -> None:
        history, token = self._load.history, self._load.token
        text = f"{token} {self.name} says {count} at {time.time_ns()}"
        attempt = history.start(self.name, "post", token, chat, texts=(text,))
        created_at = rfc3339(self._ports.clock.now_ms())
        draft = Message(
            number=MessageNumber(0),
            revision=Revision(0),
            body=text,
            created_at=Timestamp(created_at),
        )
        version = check_key(self._settings.master_key, AppToken(token), self._load.keys.newest)
        try:
            message = create_message(
                self._ports, Tenant(AppToken(token), version), ChatNumber(chat), draft
            ).value
        except UnavailableError:
            return
        except UnauthenticatedError:
            history.refuse(attempt)
            if not self._load.keys.may_be_refused(attempt.began):
                self._load.wrongly_refused.append(f"{attempt}: the newest key is not valid")
            return
        except OrdinalError as error:
            history.refuse(attempt)
            self._load.wrongly_refused.append(f"{attempt}: {error!r}")
            return
        history.acknowledge(attempt, message.number, message.number, message.revision)
        self.acknowledged += 1

    def _repair(self) -> None:
        try:
            repair_pending(self._ports, far_deadline())
        except UnavailableError:
            return
