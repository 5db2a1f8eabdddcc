"""Ordinal's HTTP API, as chatctl uses it.

Every POST that is sent again carries the Idempotency-Key of its first attempt, so that trying again
after a lost answer can never post twice.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from chatctl.failures import ChatctlError, RefusedError
from chatctl.patience import Patience
from chatctl.problems import in_words
from chatctl.shapes import Application, Batch, Chat, Message, Page

# API Gateway answers within 29 s, one way or the other.
_TIMEOUT = httpx.Timeout(35.0, connect=5.0)
_TRIED_AGAIN = (429, 502, 503, 504)
_PAGE_ITEMS = 100


class Api:
    """One credential at one service. Safe for threads."""

    def __init__(
        self,
        base_url: str,
        key: str,
        patience: Patience,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=_TIMEOUT,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.close()

    def create_application(self, name: str) -> Application:
        """Never tried again: this route takes no Idempotency-Key, so a second try could make two."""
        try:
            response = self._http.post("/applications", content=msgspec.json.encode({"name": name}))
        except httpx.TransportError as error:
            raise ChatctlError(f"{self._http.base_url} cannot be reached: {error}") from error
        return _decoded(response, Application)

    def get_application(self, token: str) -> Application:
        return self._call(Application, "GET", f"/applications/{token}")

    def create_chat(
        self, token: str, title: str, metadata: Mapping[str, Any], idempotency_key: str
    ) -> Chat:
        content = msgspec.json.encode({"title": title, "metadata": metadata})
        path = f"/applications/{token}/chats"
        return self._call(Chat, "POST", path, content, idempotency_key)

    def get_chat(self, token: str, chat: int) -> Chat:
        return self._call(Chat, "GET", f"/applications/{token}/chats/{chat}")

    def list_chats(self, token: str) -> Iterator[Chat]:
        """All chats, pending ones too, oldest first."""
        return self._pages(Chat, f"/applications/{token}/chats?after=0&limit={_PAGE_ITEMS}")

    def newest_message(self, token: str, chat: int) -> Message | None:
        """The message with the highest number that is not deleted, pending ones too."""
        path = f"/applications/{token}/chats/{chat}/messages?limit=1"
        items = self._call(Page[Message], "GET", path).items
        return items[0] if items else None

    def list_messages(self, token: str, chat: int, after: int) -> Iterator[Message]:
        """Messages with higher numbers than `after`, oldest first."""
        path = f"/applications/{token}/chats/{chat}/messages?after={after}&limit={_PAGE_ITEMS}"
        return self._pages(Message, path)

    def post_messages(self, token: str, chat: int, content: bytes, idempotency_key: str) -> Batch:
        path = f"/applications/{token}/chats/{chat}/messages/batch"
        return self._call(Batch, "POST", path, content, idempotency_key)

    def _pages[T](self, kind: type[T], path: str) -> Iterator[T]:
        following: str | None = path
        while following:
            page = self._call(Page[kind], "GET", following)  # type: ignore[valid-type]
            yield from page.items
            following = page.next

    def _call[T](
        self,
        kind: type[T],
        method: str,
        path: str,
        content: bytes | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        for attempt in count():
            self._patience.check()
            try:
                response = self._http.request(method, path, content=content, headers=headers)
            except httpx.TransportError as error:
                self._patience.pause(attempt, 0, f"{type(error).__name__}: {error}")
                continue
            if response.status_code in _TRIED_AGAIN:
                self._patience.pause(attempt, _retry_after_seconds(response), in_words(response))
                continue
            decoded = _decoded(response, kind)
            self._patience.progressed()
            return decoded
        raise AssertionError("count() has no end")


def _retry_after_seconds(response: httpx.Response) -> float:
    """What the service asks for; 0 where it does not, or names a date."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _decoded[T](response: httpx.Response, kind: type[T]) -> T:
    if not response.is_success:
        raise RefusedError(response.status_code, in_words(response))
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        raise ChatctlError(f"what answers at {response.url} is not Ordinal: {error}") from None
