"""Clients over HTTP, each in a thread of its own; what they see goes into the history."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from tests.promises.history import GONE, Act, Copy

if TYPE_CHECKING:
    from tests.faults.load import Load

_PATIENCE_SECONDS = 8.0
_RETRIED_FOR_SECONDS = 90.0
_CHANGES = 100
# So many of the clients keep copies of chats.
_FOLLOWERS = 2


class Client:
    """One client: does one thing after another, tries again what has a key, remembers what it wrote."""

    def __init__(self, load: "Load", index: int) -> None:
        self._load, self._index = load, index
        self._name, self._random = f"client {index}", random.Random(index)
        self._count = 0
        self._wrote: list[tuple[int, int]] = []
        self._http = httpx.Client(
            base_url=f"{load.base_url}/applications/{load.token}",
            timeout=_PATIENCE_SECONDS,
        )

    def run(self) -> None:
        """Until the load ends."""
        acts: list[tuple[Callable[[], object], int]] = [
            (self._post, 45),
            (self._post_without_key, 12),
            (self._post_with_an_old_key, 2),
            (self._batch, 6),
            (self._edit, 9),
            (self._delete, 3),
            (self._read, 25),
            (self._follow_a_chat, 6),
            (self._mark, 6),
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
            if answer:
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
        if answer := self._send_creation(act, chat, texts, None):
            self._load.wrongly_refused.append(f"{act}: {answer}")

    def _post_with_an_old_key(self) -> None:
        """It must be refused, whatever becomes of Redis."""
        if not (old := self._load.keys.an_old_one()):
            return
        chat, text = self._chat(), self.text()
        act = self._load.history.begin(self._name, "post", self._load.token, chat, texts=(text,))
        secret_key, act.replaced = old
        self._send_creation(act, chat, (text,), None, secret_key)

    def _batch(self) -> None:
        texts = tuple(self.text() for _ in range(self._random.randint(2, 8)))
        self.create("post", self._chat(), texts, f"key of {texts[0]}")

    def _send_creation(
        self,
        act: Act,
        chat: int | None,
        texts: tuple[str, ...],
        key: str | None,
        secret_key: str | None = None,
    ) -> str:
        """What was said where it was refused, and should not have been."""
        path, body = _creation(act.kind, chat, texts)
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._ask("POST", path, body, headers, secret_key)
        if answer is None or answer.status_code >= 500:
            return ""
        if answer.status_code >= 400:
            self._load.history.refuse(act)
            return "" if self._is_of_an_old_key(answer, act) else answer.text
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
            if not self._may_be_refused(answer, act):
                self._load.wrongly_refused.append(f"{act}: {answer.text}")
            return
        self._load.history.acknowledge(act, number, number, answer.json()["revision"])

    def _may_be_refused(self, answer: httpx.Response, act: Act) -> bool:
        """Others were faster; or Redis forgot a message that MySQL does not have yet."""
        if answer.status_code == 404:
            return bool(self._load.history.losses)
        return answer.status_code in (409, 410, 412) or self._is_of_an_old_key(answer, act)

    def _read(self) -> None:
        if not self._wrote:
            return
        chat, number = self._random.choice(self._wrote[-10:])
        began = self._load.history.now()
        answer = self._ask("GET", f"/chats/{chat}/messages/{number}", None, {})
        if answer is None or answer.status_code >= 500 or answer.status_code == 401:
            return
        revision = None
        if answer.status_code == 200:
            revision = answer.json()["revision"]
        elif answer.status_code == 410:
            revision = GONE
        self._load.history.read(began, self._name, self._load.token, chat, number, revision)

    def _follow_a_chat(self) -> None:
        if self._index < _FOLLOWERS:
            self.follow(self._load.history.copy(self._name, self._load.token, self._chat()))

    def follow(self, copy: Copy) -> bool:
        """Take a page of changes into a copy; whether there are more."""
        since = copy.since
        path = f"/chats/{copy.chat}/changes?since={since}&limit={_CHANGES}"
        answer = self._ask("GET", path, None, {})
        if answer is None or answer.status_code != 200:
            return False
        told = answer.json()
        states = [
            (c["number"], c["revision"], c["message"]["body"] if c["message"] else None)
            for c in told["items"]
        ]
        self._load.history.followed(copy, since, states, told["since"])
        return told["next"] is not None

    def _mark(self) -> None:
        """Several clients are one user, so that markers are moved at the same time."""
        if not self._wrote:
            return
        chat, number = self._random.choice(self._wrote[-10:])
        user, began = f"user {self._index % 3}", self._load.history.now()
        answer = self._ask("PUT", f"/chats/{chat}/readers/{user}", {"number": number}, {})
        if answer is not None and answer.status_code == 200:
            told = answer.json()
            self._load.history.marked(
                began, user, self._load.token, chat, told["number"], told["unread"]
            )

    def _ask(
        self,
        method: str,
        path: str,
        body: Any,
        headers: dict[str, str],
        secret_key: str | None = None,
    ) -> httpx.Response | None:
        headers["Authorization"] = f"Bearer {secret_key or self._load.keys.newest}"
        try:
            return self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError:
            return None

    def _is_of_an_old_key(self, answer: httpx.Response, act: Act) -> bool:
        """Whether its key was replaced before it was sent, or meanwhile."""
        is_old = bool(act.replaced) or self._load.keys.may_be_refused(act.began)
        return answer.status_code == 401 and is_old

    def _chat(self) -> int:
        return self._random.choice(self._load.chats)


def _creation(kind: str, chat: int | None, texts: tuple[str, ...]) -> tuple[str, Any]:
    if kind == "chat":
        return "/chats", {"title": texts[0]}
    if len(texts) == 1:
        return f"/chats/{chat}/messages", {"body": texts[0]}
    return f"/chats/{chat}/messages/batch", {"messages": [{"body": text} for text in texts]}
