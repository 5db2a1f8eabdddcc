"""Clients over HTTP, each in its own thread. The history records what they see."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from tests.invariants.history import GONE, Attempt, Copy

if TYPE_CHECKING:
    from tests.faults.load import Load

_TIMEOUT_SECONDS = 8.0
_RETRY_SECONDS = 90.0
_CHANGES = 100
# So many of the clients make copies of chats from the change feed.
_FOLLOWERS = 2
_USERS = 3


class Client:
    """Sends one request after another, retries requests that have a key, and remembers its messages."""

    def __init__(self, load: "Load", index: int) -> None:
        self._load, self._index = load, index
        self._name, self._random = f"client {index}", random.Random(index)
        self._count = 0
        self._written: list[tuple[int, int]] = []
        self._http = httpx.Client(
            base_url=f"{load.base_url}/applications/{load.token}",
            timeout=_TIMEOUT_SECONDS,
        )

    def run(self) -> None:
        """Send requests until the load ends."""
        weighted: list[tuple[Callable[[], object], int]] = [
            (self._post, 45),
            (self._post_without_key, 12),
            (self._post_with_replaced_secret_key, 2),
            (self._post_batch, 6),
            (self._edit, 9),
            (self._delete, 3),
            (self._read, 25),
            (self._follow_a_chat, 6),
            (self._mark_read, 6),
        ]
        actions, weights = zip(*weighted, strict=True)
        while not self._load.ending.is_set():
            self._random.choices(actions, weights)[0]()
        self.close()

    def close(self) -> None:
        self._http.close()

    def new_text(self) -> str:
        """A text that no other request sends."""
        self._count += 1
        return f"{self._load.token} {self._name} says {self._count} at {time.time_ns()}"

    def create(self, kind: Any, chat: int | None, texts: tuple[str, ...], key: str) -> int | None:
        """Send the request with the same key until a response comes; the first number."""
        deadline = time.monotonic() + _RETRY_SECONDS
        while time.monotonic() < deadline:
            attempt = self._load.history.start(
                self._name, kind, self._load.token, chat, texts=texts, key=key
            )
            refusal = self._send_creation(attempt, chat, texts, key)
            if attempt.outcome == "acknowledged":
                return attempt.first
            if refusal:
                self._load.wrongly_refused.append(f"{attempt}: {refusal}")
                return None
            time.sleep(0.3 + self._random.random())
        return None

    def _post(self) -> None:
        text = self.new_text()
        self.create("post", self._choose_chat(), (text,), f"key of {text}")

    def _post_without_key(self) -> None:
        chat, texts = self._choose_chat(), (self.new_text(),)
        attempt = self._load.history.start(self._name, "post", self._load.token, chat, texts=texts)
        if refusal := self._send_creation(attempt, chat, texts, None):
            self._load.wrongly_refused.append(f"{attempt}: {refusal}")

    def _post_with_replaced_secret_key(self) -> None:
        """The post must be refused, whatever happens to Redis."""
        if not (replaced := self._load.keys.replaced_key()):
            return
        chat, texts = self._choose_chat(), (self.new_text(),)
        attempt = self._load.history.start(self._name, "post", self._load.token, chat, texts=texts)
        secret_key, attempt.replaced = replaced
        self._send_creation(attempt, chat, texts, None, secret_key)

    def _post_batch(self) -> None:
        texts = tuple(self.new_text() for _ in range(self._random.randint(2, 8)))
        self.create("post", self._choose_chat(), texts, f"key of {texts[0]}")

    def _send_creation(
        self,
        attempt: Attempt,
        chat: int | None,
        texts: tuple[str, ...],
        key: str | None,
        secret_key: str | None = None,
    ) -> str:
        """Send it and record the outcome. Returns the text of a refusal that is a violation, or nothing."""
        path, body = _creation(attempt.kind, chat, texts)
        headers = {"Idempotency-Key": key} if key else {}
        response = self._request("POST", path, body, headers, secret_key)
        if response is None or response.status_code >= 500:
            return ""
        if response.status_code >= 400:
            self._load.history.refuse(attempt)
            return "" if self._is_of_a_replaced_key(response, attempt) else response.text
        created = response.json()
        first, last = (created.get(field) or created["number"] for field in ("first", "last"))
        self._load.history.acknowledge(attempt, first, last, created.get("revision"))
        if chat is not None:
            self._written += [(chat, number) for number in range(first, last + 1)]
        return ""

    def _edit(self) -> None:
        self._change("edit", "PATCH", (self.new_text(),))

    def _delete(self) -> None:
        self._change("delete", "DELETE", ())

    def _change(self, kind: Any, method: str, texts: tuple[str, ...]) -> None:
        if not self._written:
            return
        chat, number = self._random.choice(self._written[-30:])
        attempt = self._load.history.start(
            self._name, kind, self._load.token, chat, number=number, texts=texts
        )
        body = {"body": texts[0]} if texts else None
        response = self._request(method, f"/chats/{chat}/messages/{number}", body, {})
        if response is None or response.status_code >= 500:
            return
        if response.status_code >= 400:
            self._load.history.refuse(attempt)
            if not self._may_be_refused(response, attempt):
                self._load.wrongly_refused.append(f"{attempt}: {response.text}")
            return
        self._load.history.acknowledge(attempt, number, number, response.json()["revision"])

    def _may_be_refused(self, response: httpx.Response, attempt: Attempt) -> bool:
        """Another client was faster, or Redis lost a message that MySQL does not have yet."""
        if response.status_code == 404:
            return bool(self._load.history.losses)
        is_conflict = response.status_code in (409, 410, 412)
        return is_conflict or self._is_of_a_replaced_key(response, attempt)

    def _read(self) -> None:
        if not self._written:
            return
        chat, number = self._random.choice(self._written[-10:])
        began = self._load.history.now()
        response = self._request("GET", f"/chats/{chat}/messages/{number}", None, {})
        if response is None or response.status_code >= 500 or response.status_code == 401:
            return
        revision = None
        if response.status_code == 200:
            revision = response.json()["revision"]
        elif response.status_code == 410:
            revision = GONE
        self._load.history.record_read(began, self._name, self._load.token, chat, number, revision)

    def _follow_a_chat(self) -> None:
        if self._index < _FOLLOWERS:
            chat = self._choose_chat()
            self.follow(self._load.history.copy_of(self._name, self._load.token, chat))

    def follow(self, copy: Copy) -> bool:
        """Apply one page of changes to a copy. Returns whether there are more pages."""
        since = copy.since
        path = f"/chats/{copy.chat}/changes?since={since}&limit={_CHANGES}"
        response = self._request("GET", path, None, {})
        if response is None or response.status_code != 200:
            return False
        page = response.json()
        versions = [
            (c["number"], c["revision"], c["message"]["body"] if c["message"] else None)
            for c in page["items"]
        ]
        self._load.history.record_changes(copy, since, versions, page["since"])
        return page["next"] is not None

    def _mark_read(self) -> None:
        """Several clients act as one user, so that its markers move concurrently."""
        if not self._written:
            return
        chat, number = self._random.choice(self._written[-10:])
        user, began = f"user {self._index % _USERS}", self._load.history.now()
        response = self._request("PUT", f"/chats/{chat}/readers/{user}", {"number": number}, {})
        if response is not None and response.status_code == 200:
            marker = response.json()
            self._load.history.record_marker(
                began, user, self._load.token, chat, marker["number"], marker["unread"]
            )

    def _request(
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

    def _is_of_a_replaced_key(self, response: httpx.Response, attempt: Attempt) -> bool:
        """Whether the key was replaced before the request was sent, or while it ran."""
        is_replaced = bool(attempt.replaced) or self._load.keys.may_be_refused(attempt.began)
        return response.status_code == 401 and is_replaced

    def _choose_chat(self) -> int:
        return self._random.choice(self._load.chats)


def _creation(kind: str, chat: int | None, texts: tuple[str, ...]) -> tuple[str, Any]:
    if kind == "chat":
        return "/chats", {"title": texts[0]}
    if len(texts) == 1:
        return f"/chats/{chat}/messages", {"body": texts[0]}
    return f"/chats/{chat}/messages/batch", {"messages": [{"body": text} for text in texts]}
