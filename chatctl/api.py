"""Ordinal's HTTP API, as chatctl uses it: the client, with the patience of a whole run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
from ordinal_client import (
    Application,
    Attempts,
    Batch,
    Chat,
    ChatDetail,
    Client,
    Message,
    NewApplication,
    OrdinalError,
    ProblemError,
)

from chatctl.failures import ChatctlError, RefusedError
from chatctl.patience import Patience
from chatctl.remembered import Credential

_PAGE_ITEMS = 100


class Api:
    """One credential at one service. Safe for threads."""

    def __init__(
        self,
        base_url: str,
        credential: Credential,
        patience: Patience,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._client = Client(
            base_url,
            credential.key,
            credential.token,
            retries=_PatientPolicy(patience),
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
        self._client.close()

    def create_application(self, name: str) -> NewApplication:
        with self._told():
            return self._client.create_application(name)

    def get_application(self) -> Application:
        with self._told():
            return self._client.get_application()

    def create_chat(
        self, title: str | None, metadata: Mapping[str, Any], idempotency_key: str
    ) -> ChatDetail:
        with self._told():
            return self._client.create_chat(title, dict(metadata), idempotency_key=idempotency_key)

    def get_chat(self, chat: int) -> ChatDetail:
        with self._told():
            return self._client.get_chat(chat)

    def list_chats(self) -> Iterator[Chat]:
        """All chats, pending ones too, oldest first."""
        return self._each(self._client.chats(after=0, limit=_PAGE_ITEMS))

    def newest_message(self, chat: int) -> Message | None:
        """The message with the highest number that is not deleted, pending ones too."""
        with self._told():
            items = self._client.list_messages(chat, limit=1).items
        return items[0] if items else None

    def list_messages(self, chat: int, after: int) -> Iterator[Message]:
        """Messages with higher numbers than `after`, oldest first."""
        return self._each(self._client.messages(chat, after=after, limit=_PAGE_ITEMS))

    def post_messages(self, chat: int, items: Sequence[bytes], idempotency_key: str) -> Batch:
        """Post messages that are JSON already."""
        with self._told():
            raw = map(msgspec.Raw, items)
            return self._client.create_messages(chat, raw, idempotency_key=idempotency_key)

    def _each[T](self, items: Iterator[T]) -> Iterator[T]:
        with self._told():
            for item in items:
                self._patience.progressed()
                yield item

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever ends a request ends it in chatctl's words; what gets through is progress."""
        try:
            yield
        except ProblemError as error:
            raise RefusedError(error.status, str(error)) from error
        except OrdinalError as error:
            raise ChatctlError(str(error)) from error
        self._patience.progressed()


class _PatientPolicy:
    """Tries again for as long as the run has patience, which all its threads share."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def begin(self) -> Attempts:
        self._patience.check()
        return _PatientAttempts(self._patience)


class _PatientAttempts:
    """The attempts of one request."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._made = 0

    def pause_seconds(self, error: OrdinalError) -> float:
        """No more: `Patience` has waited already, and would have woken up for a run that is stopped."""
        if not error.retryable:
            raise error
        self._patience.pause(self._made, error.retry_after_seconds, str(error))
        self._made += 1
        return 0.0
