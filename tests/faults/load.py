"""Clients over HTTP, each in a thread of its own; what they see goes into the history."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.promises.history import GONE, Act, History

CLIENTS = 7
_PATIENCE_SECONDS = 8.0
_RETRIED_FOR_SECONDS = 90.0


class Load:
    """Runs clients against some chats of one application until it is left."""

    def __init__(self, base_url: str, token: str, secret_key: str, history: History) -> None:
        self.base_url, self.token, self.key, self.history = base_url, token, secret_key, history
        self.chats: list[int] = []
        self.wrongly_refused: list[str] = []
        self.ending = threading.Event()
        self._threads = [threading.Thread(target=Client(self, i).run) for i in range(CLIENTS)]

    def make_chats(self, count: int) -> None:
        """Chats to post to; the load starts after them."""
        client = Client(self, CLIENTS)
        while len(self.chats) < count:
            title = f"chat {len(self.chats)} of {self.token}"
            number = client.create("chat", None, (title,), f"key of {title}")
            if number is not None:
                self.chats.append(number)
        client.close()

    def write_to_each_chat(self) -> None:
        """One message to each chat, so that what was skipped before it is known."""
        client = Client(self, CLIENTS + 1)
        for chat in self.chats:
            text = client.text()
            client.create("post", chat, (text,), f"key of {text}")
        client.close()

    def ending_soon(self, seconds: float) -> None:
        """Let the clients go on for a little, then finish what they are doing."""
        threading.Timer(seconds, self.ending.set).start()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()


class Client:
    """One client: does one thing after another, tries again what has a key, remembers what it wrote."""

    def __init__(self, load: Load, index: int) -> None:
        self._load, self._name, self._random = load, f"client {index}", random.Random(index)
        self._count = 0
        self._wrote: list[tuple[int, int]] = []
        self._http = httpx.Client(
            base_url=f"{load.base_url}/applications/{load.token}",
            headers={"Authorization": f"Bearer {load.key}"},
            timeout=_PATIENCE_SECONDS,
        )

    def run(self) -> None:
        """Until the load ends."""
        acts: list[tuple[Callable[[], object], int]] = [
            (self._post, 45),
            (self._post_without_key, 12),
            (self._batch, 6),
            (self._edit, 9),
            (self._delete, 3),
            (self._read, 25),
        ]
        doing, weights = zip(*acts, strict=True)
        while not self._load.ending.is_set():
            self._random.choices(doing, weights)[0]()
        self.close()

    def close(self) -> None:
        self._http.close()

    def text(self) -> str:
        """One that nobody else sends."""
        self._count += 1
        return f"{self._load.token} {self._name} says {self._count} at {time.time_ns()}"

    def create(self, kind: Any, chat: int | None, texts: tuple[str, ...], key: str) -> int | None:
        """Send until it is answered, with the same key; the number."""
        give_up = time.monotonic() + _RETRIED_FOR_SECONDS
        while time.monotonic() < give_up:
            act = self._load.history.begin(
                self._name, kind, self._load.token, chat, texts=texts, key=key
            )
            answer = self._send_creation(act, chat, texts, key)
            if act.outcome == "acknowledged":
                return act.first
            if act.outcome == "refused":
                self._load.wrongly_refused.append(f"{act}: {answer}")
                return None
            time.sleep(0.3 + self._random.random())
        return None

    def _post(self) -> None:
        text = self.text()
        self.create("post", self._chat(), (text,), f"key of {text}")

    def _post_without_key(self) -> None:
        chat, texts = self._chat(), (self.text(),)
        act = self._load.history.begin(self._name, "post", self._load.token, chat, texts=texts)
        answer = self._send_creation(act, chat, texts, None)
        if act.outcome == "refused":
            self._load.wrongly_refused.append(f"{act}: {answer}")

    def _batch(self) -> None:
        texts = tuple(self.text() for _ in range(self._random.randint(2, 8)))
        self.create("post", self._chat(), texts, f"key of {texts[0]}")

    def _send_creation(
        self, act: Act, chat: int | None, texts: tuple[str, ...], key: str | None
    ) -> str:
        path, body = _creation(act.kind, chat, texts)
        answer = self._ask("POST", path, body, {"Idempotency-Key": key} if key else {})
        if answer is None or answer.status_code >= 500:
            return "nothing"
        if answer.status_code >= 400:
            self._load.history.refuse(act)
            return answer.text
        told = answer.json()
        first, last = told.get("first") or told["number"], told.get("last") or told["number"]
        self._load.history.acknowledge(act, first, last, told.get("revision"))
        if chat is not None:
            self._wrote += [(chat, number) for number in range(first, last + 1)]
        return ""

    def _edit(self) -> None:
        self._change("edit", "PATCH", (self.text(),))

    def _delete(self) -> None:
        self._change("delete", "DELETE", ())

    def _change(self, kind: Any, method: str, texts: tuple[str, ...]) -> None:
        if not self._wrote:
            return
        chat, number = self._random.choice(self._wrote[-30:])
        act = self._load.history.begin(
            self._name, kind, self._load.token, chat, number=number, texts=texts
        )
        body = {"body": texts[0]} if texts else None
        answer = self._ask(method, f"/chats/{chat}/messages/{number}", body, {})
        if answer is None or answer.status_code >= 500:
            return
        if answer.status_code >= 400:
            self._load.history.refuse(act)
            if not self._may_be_refused(answer.status_code):
                self._load.wrongly_refused.append(f"{act}: {answer.text}")
            return
        self._load.history.acknowledge(act, number, number, answer.json()["revision"])

    def _may_be_refused(self, status: int) -> bool:
        """Others were faster; or Redis forgot a message that MySQL does not have yet."""
        return status in (409, 410, 412) or (status == 404 and bool(self._load.history.losses))

    def _read(self) -> None:
        if not self._wrote:
            return
        chat, number = self._random.choice(self._wrote[-10:])
        began = self._load.history.now()
        answer = self._ask("GET", f"/chats/{chat}/messages/{number}", None, {})
        if answer is None or answer.status_code >= 500:
            return
        revision = None
        if answer.status_code == 200:
            revision = answer.json()["revision"]
        elif answer.status_code == 410:
            revision = GONE
        self._load.history.read(began, self._name, self._load.token, chat, number, revision)

    def _ask(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response | None:
        try:
            return self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError:
            return None

    def _chat(self) -> int:
        return self._random.choice(self._load.chats)


def _creation(kind: str, chat: int | None, texts: tuple[str, ...]) -> tuple[str, Any]:
    if kind == "chat":
        return "/chats", {"title": texts[0]}
    if len(texts) == 1:
        return f"/chats/{chat}/messages", {"body": texts[0]}
    return f"/chats/{chat}/messages/batch", {"messages": [{"body": text} for text in texts]}
