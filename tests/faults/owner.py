"""Who owns the application: replaces its secret key, and lets another service use the inbox."""

import json
import time
from typing import TYPE_CHECKING

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from tests.promises.history import Kind, Span

if TYPE_CHECKING:
    from tests.faults.load import Load

_REPLACES_EVERY_SECONDS = 4.0
_PUTS_EVERY_SECONDS = 0.2
_TRIES_EVERY_SECONDS = 0.5
_TWICE_IN = 10
_CHAT_IN = 15
_PATIENCE_SECONDS = 20.0


class KeyOwner:
    """Replaces the secret key now and then, at once, and asks with the same key until it is answered."""

    def __init__(self, load: "Load") -> None:
        self._load = load

    def run(self) -> None:
        """Until the load ends; what is under way then is finished."""
        headers = {"Authorization": f"Bearer {self._load.place.admin_key}"}
        url = f"{self._load.base_url}/applications/{self._load.token}/keys"
        with httpx.Client(headers=headers, timeout=_PATIENCE_SECONDS) as http:
            while not self._load.ending.wait(_REPLACES_EVERY_SECONDS):
                self._replace(http, url)

    def _replace(self, http: httpx.Client, url: str) -> None:
        began = self._load.history.now()
        self._load.keys.replacing()
        key = {"Idempotency-Key": f"replace {time.time_ns()}"}
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            try:
                answer = http.post(url, json={"overlap_seconds": 0}, headers=key)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 201:
                span = Span(began, self._load.history.now())
                self._load.keys.replaced(answer.json()["secret_key"], span)
                return
            if answer is not None and answer.status_code < 500 and answer.status_code != 409:
                break
            time.sleep(_TRIES_EVERY_SECONDS)
        said = "no answer" if answer is None else answer.text
        self._load.wrongly_refused.append(f"a new secret key: {said}")


class InboxService:
    """Puts chats and messages on the inbox queue, some of them twice."""

    def __init__(self, load: "Load") -> None:
        self._load = load

    def run(self) -> None:
        """Until the load ends."""
        count = 0
        while not self._load.ending.wait(_PUTS_EVERY_SECONDS):
            count += 1
            chats = self._load.chats
            chat = None if count % _CHAT_IN == 0 else chats[count % len(chats)]
            text = f"{self._load.token} the service says {count} at {time.time_ns()}"
            for _ in range(2 if count % _TWICE_IN == 0 else 1):
                self._put(chat, text)

    def _put(self, chat: int | None, text: str) -> None:
        token, key = self._load.token, f"inbox {text}"
        record: dict[str, object] = {"token": token, "key": key}
        if chat is None:
            record |= {"type": "chat.create", "title": text}
        else:
            record |= {"type": "message.create", "chat": chat, "body": text}
        kind: Kind = "chat" if chat is None else "post"
        act = self._load.history.begin("a service", kind, token, chat, texts=(text,), key=key)
        try:
            self._load.place.put_on_the_inbox(json.dumps(record))
        except (BotoCoreError, ClientError):
            return
        self._load.history.take(act)
