"""The owner of the application under load: rotates its secret key, and sends records to the inbox."""

import json
import time
from threading import Lock
from typing import TYPE_CHECKING

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from tests.invariants.history import Kind, Span

if TYPE_CHECKING:
    from tests.faults.load import Load

_ROTATES_EVERY_SECONDS = 4.0
_SENDS_EVERY_SECONDS = 0.2
_PAUSE_SECONDS = 0.5
_DUPLICATE_ONE_IN = 10
_CHAT_ONE_IN = 15
_TIMEOUT_SECONDS = 20.0
_RETRY_SECONDS = 120.0


class SecretKeys:
    """The secret keys of the application. Each new key replaces the last at once. Thread-safe."""

    def __init__(self, first: str) -> None:
        self._keys = [first]
        self._spans: list[Span] = []
        self._is_rotating = False
        self._lock = Lock()

    @property
    def newest(self) -> str:
        with self._lock:
            return self._keys[-1]

    @property
    def count(self) -> int:
        """How many keys there have been."""
        with self._lock:
            return len(self._keys)

    def replaced_key(self) -> tuple[str, tuple[Span, ...]] | None:
        """The key before the newest, and when it was replaced. None if no key was replaced yet."""
        with self._lock:
            return (self._keys[-2], (self._spans[-1],)) if self._spans else None

    def start_rotation(self) -> None:
        """Call this before a request for the next key is sent."""
        with self._lock:
            self._is_rotating = True

    def finish_rotation(self, key: str, span: Span) -> None:
        """The response brought this key."""
        with self._lock:
            self._keys.append(key)
            self._spans.append(span)
            self._is_rotating = False

    def may_be_refused(self, began: int) -> bool:
        """Whether a key may have been replaced since the position `began`."""
        with self._lock:
            return self._is_rotating or any(span.ended >= began for span in self._spans)


class KeyOwner:
    """Rotates the secret key now and then, with one Idempotency-Key for all retries of a rotation."""

    def __init__(self, load: "Load") -> None:
        self._load = load

    def run(self) -> None:
        """Rotate until the load ends. A rotation that has started is finished."""
        headers = {"Authorization": f"Bearer {self._load.target.admin_key}"}
        url = f"{self._load.base_url}/applications/{self._load.token}/keys"
        with httpx.Client(headers=headers, timeout=_TIMEOUT_SECONDS) as http:
            while not self._load.ending.wait(_ROTATES_EVERY_SECONDS):
                self._rotate(http, url)

    def _rotate(self, http: httpx.Client, url: str) -> None:
        began = self._load.history.now()
        self._load.keys.start_rotation()
        key = {"Idempotency-Key": f"replace {time.time_ns()}"}
        deadline = time.monotonic() + _RETRY_SECONDS
        response: httpx.Response | None = None
        while time.monotonic() < deadline:
            try:
                response = http.post(url, json={"overlap_seconds": 0}, headers=key)
            except httpx.HTTPError:
                response = None
            if response is not None and response.status_code == 201:
                span = Span(began, self._load.history.now())
                self._load.keys.finish_rotation(response.json()["secret_key"], span)
                return
            if response is not None and response.status_code < 500 and response.status_code != 409:
                break
            time.sleep(_PAUSE_SECONDS)
        reason = "no response" if response is None else response.text
        self._load.wrongly_refused.append(f"a new secret key: {reason}")


class InboxService:
    """Sends chats and messages to the inbox queue, some of them twice."""

    def __init__(self, load: "Load") -> None:
        self._load = load

    def run(self) -> None:
        """Send records until the load ends."""
        count = 0
        while not self._load.ending.wait(_SENDS_EVERY_SECONDS):
            count += 1
            chats = self._load.chats
            chat = None if count % _CHAT_ONE_IN == 0 else chats[count % len(chats)]
            text = f"{self._load.token} the service says {count} at {time.time_ns()}"
            for _ in range(2 if count % _DUPLICATE_ONE_IN == 0 else 1):
                self._send(chat, text)

    def _send(self, chat: int | None, text: str) -> None:
        token, key = self._load.token, f"inbox {text}"
        record: dict[str, object] = {"token": token, "key": key}
        if chat is None:
            record |= {"type": "chat.create", "title": text}
        else:
            record |= {"type": "message.create", "chat": chat, "body": text}
        kind: Kind = "chat" if chat is None else "post"
        attempt = self._load.history.start("a service", kind, token, chat, texts=(text,), key=key)
        try:
            self._load.target.send_to_inbox(json.dumps(record))
        except (BotoCoreError, ClientError):
            return
        self._load.history.enqueue(attempt)
