"""Everything that can be asked, declared once for sync and async code.

A method below says how its arguments become a `Request`; `Method` binds it to the client that it is
called on, which sends the request. What comes back is a `T` from a `Client` and an awaitable `T` from an
`AsyncClient`: the two overloads of `__get__` tell that to type checkers, with the method's own
parameters. So there is one list of methods, no code is generated, and none is written twice; the price
is one descriptor whose types take a minute to read.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Concatenate, Final, Literal, Self, overload
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import UNSET, UnsetType

from ordinal_client.models import (
    Application,
    Batch,
    Changes,
    Chat,
    ChatDetail,
    Deleted,
    Health,
    Message,
    Metadata,
    NewApplication,
    NewKey,
    NewMessage,
    Page,
    Readiness,
    ReadMarker,
    SearchPage,
    UserReadMarker,
)
from ordinal_client.request import Request
from ordinal_client.transports import AsyncTransport, Transport

_Parameters = Mapping[str, str | int | datetime | None]


class Method[**P, T]:
    """A method of both clients, made of a function from its arguments to a request."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Request[T]]) -> None:
        self.describe: Final = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Transport, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Transport | AsyncTransport | None, owner: type) -> Any:
        return _bound(self.describe, client, client.send) if client else self


class Paginator[**P, T]:
    """The items of a list over all its pages; takes what the list's operation takes.

    `limit` is the number of items of a page then.
    """

    def __init__(self, operation: Method[P, Page[T]]) -> None:
        self.describe: Final = operation.describe
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Transport, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncTransport, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Transport | AsyncTransport | None, owner: type) -> Any:
        return _bound(self.describe, client, client.iterate) if client else self


def _bound(
    describe: Callable[..., Request[Any]], client: object, ask: Callable[[Request[Any]], Any]
) -> Callable[..., Any]:
    @functools.wraps(describe)
    def method(*args: Any, **kwargs: Any) -> Any:
        return ask(describe(client, *args, **kwargs))

    return method


class Methods:
    """The methods of both clients.

    What changes something takes an `idempotency_key`: the same key with the same arguments gets the
    first answer for 24 hours. Without one, a fresh key covers the attempts of the one call.
    """

    application: str

    # Applications: with the admin key, or each with its own.

    @Method
    def create_application(
        self, name: str, *, idempotency_key: str | None = None
    ) -> Request[NewApplication]:
        """Create an application. Its secret key is in the answer, and nowhere else later."""
        path = "/applications"
        return _changing("POST", path, NewApplication, {"name": name}, idempotency_key)

    @Method
    def list_applications(
        self, *, before: str | None = None, limit: int | None = None
    ) -> Request[Page[Application]]:
        """List the applications, newest first; `before` is the token of one."""
        return _reading("/applications", Page[Application], {"before": before, "limit": limit})

    applications = Paginator(list_applications)

    @Method
    def get_application(self, token: str | None = None) -> Request[Application]:
        """Read an application: the client's own, or the one with this token."""
        return _reading(self._path(token), Application)

    @Method
    def rename_application(
        self, name: str, token: str | None = None, *, idempotency_key: str | None = None
    ) -> Request[Application]:
        """Rename an application."""
        path = self._path(token)
        return _changing("PATCH", path, Application, {"name": name}, idempotency_key)

    @Method
    def delete_application(
        self, token: str | None = None, *, idempotency_key: str | None = None
    ) -> Request[None]:
        """Delete an application with everything in it."""
        return _changing("DELETE", self._path(token), type(None), None, idempotency_key)

    @Method
    def rotate_key(
        self,
        overlap_seconds: int,
        token: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Request[NewKey]:
        """Replace the secret key. The one before it stays valid for so long; 0 ends it at once.

        The client goes on with the key that it was made with.
        """
        body = {"overlap_seconds": overlap_seconds}
        return _changing("POST", f"{self._path(token)}/keys", NewKey, body, idempotency_key)

    # Chats

    @Method
    def create_chat(
        self,
        title: str | None = None,
        metadata: Metadata | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Request[ChatDetail]:
        """Create a chat. It has its number at once, and messages can be posted to it at once."""
        body = {"title": title, "metadata": metadata}
        return _changing("POST", f"{self._path()}/chats", ChatDetail, body, idempotency_key)

    @Method
    def list_chats(
        self, *, before: int | None = None, after: int | None = None, limit: int | None = None
    ) -> Request[Page[Chat]]:
        """List the chats by number: newest first, or oldest first behind `after`."""
        query = {"before": before, "after": after, "limit": limit}
        return _reading(f"{self._path()}/chats", Page[Chat], query)

    chats = Paginator(list_chats)

    @Method
    def get_chat(self, chat: int) -> Request[ChatDetail]:
        """Read a chat, with its counts and the message numbers that were skipped."""
        return _reading(self._chat(chat), ChatDetail)

    @Method
    def edit_chat(
        self,
        chat: int,
        *,
        title: str | None | UnsetType = UNSET,
        metadata: Metadata | None | UnsetType = UNSET,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> Request[Chat]:
        """Change what is given of a chat; None removes it.

        With `if_match`, only where the chat still has that revision.
        """
        body = _given(title=title, metadata=metadata)
        return _changing("PATCH", self._chat(chat), Chat, body, idempotency_key, if_match)

    @Method
    def delete_chat(
        self, chat: int, *, if_match: int | None = None, idempotency_key: str | None = None
    ) -> Request[Deleted]:
        """Delete a chat with its messages. Its number stays taken."""
        return _changing("DELETE", self._chat(chat), Deleted, None, idempotency_key, if_match)

    # Messages

    @Method
    def create_message(
        self,
        chat: int,
        body: str,
        *,
        sender: str | None = None,
        metadata: Metadata | None = None,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Request[Message]:
        """Post a message. It is kept under the number in the answer."""
        new = NewMessage(body, sender, metadata, created_at)
        return _changing("POST", f"{self._chat(chat)}/messages", Message, new, idempotency_key)

    @Method
    def create_messages(
        self,
        chat: int,
        messages: Iterable[NewMessage | msgspec.Raw],
        *,
        idempotency_key: str | None = None,
    ) -> Request[Batch]:
        """Post messages that get numbers following each other, all of them or none.

        A `msgspec.Raw` is a message that is JSON already.
        """
        path = f"{self._chat(chat)}/messages/batch"
        return _changing("POST", path, Batch, {"messages": list(messages)}, idempotency_key)

    @Method
    def list_messages(
        self,
        chat: int,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> Request[Page[Message]]:
        """List the messages of a chat by number: newest first, or oldest first behind `after`."""
        query = {"before": before, "after": after, "limit": limit}
        return _reading(f"{self._chat(chat)}/messages", Page[Message], query)

    messages = Paginator(list_messages)

    @Method
    def get_message(self, chat: int, number: int) -> Request[Message]:
        """Read a message."""
        return _reading(f"{self._chat(chat)}/messages/{number}", Message)

    @Method
    def edit_message(
        self,
        chat: int,
        number: int,
        *,
        body: str | UnsetType = UNSET,
        metadata: Metadata | None | UnsetType = UNSET,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> Request[Message]:
        """Change what is given of a message.

        With `if_match`, only where the message still has that revision.
        """
        path = f"{self._chat(chat)}/messages/{number}"
        given = _given(body=body, metadata=metadata)
        return _changing("PATCH", path, Message, given, idempotency_key, if_match)

    @Method
    def delete_message(
        self,
        chat: int,
        number: int,
        *,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> Request[Deleted]:
        """Delete a message. Its number stays taken."""
        path = f"{self._chat(chat)}/messages/{number}"
        return _changing("DELETE", path, Deleted, None, idempotency_key, if_match)

    # What was said, what became of it, and who has read it

    @Method
    def search_messages(
        self,
        q: str,
        *,
        sender: str | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        sort: Literal["relevance", "number"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[SearchPage]:
        """Search the messages of all chats of the application.

        `created_from` is inclusive, `created_to` exclusive. `cursor` is that of the page before.
        """
        query = _search_query(q, sender, created_from, created_to, sort, limit, cursor)
        return _reading(f"{self._path()}/search", SearchPage, query)

    search_hits = Paginator(search_messages)

    @Method
    def search_chat_messages(
        self,
        chat: int,
        q: str,
        *,
        sender: str | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        sort: Literal["relevance", "number"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[SearchPage]:
        """Search the messages of one chat, as `search_messages` does."""
        query = _search_query(q, sender, created_from, created_to, sort, limit, cursor)
        return _reading(f"{self._chat(chat)}/messages/search", SearchPage, query)

    chat_search_hits = Paginator(search_chat_messages)

    @Method
    def list_changes(
        self, chat: int, *, since: str | None = None, limit: int | None = None
    ) -> Request[Changes]:
        """List the messages that were changed, in the order of their changes.

        Each comes once, in its newest state. `since` is that of an earlier answer.
        """
        query = {"since": since, "limit": limit}
        return _reading(f"{self._chat(chat)}/changes", Changes, query)

    @Method
    def mark_read(self, chat: int, user: str, number: int) -> Request[UserReadMarker]:
        """Note that the user has read the chat up to this message. A marker never goes back."""
        content = msgspec.json.encode({"number": number})
        return Request(
            "PUT", self._reader(chat, user), UserReadMarker, headers=_JSON, content=content
        )

    @Method
    def get_read_marker(self, chat: int, user: str) -> Request[UserReadMarker]:
        """Read how far the user has read the chat, and how much is unread."""
        return _reading(self._reader(chat, user), UserReadMarker)

    @Method
    def list_read_markers(
        self,
        user: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> Request[Page[ReadMarker]]:
        """List the same for all chats in which the user has a marker, by the chats' numbers."""
        query = {"before": before, "after": after, "limit": limit}
        return _reading(f"{self._path()}/readers/{quote(user, safe='')}", Page[ReadMarker], query)

    read_markers = Paginator(list_read_markers)

    # Health

    @Method
    def get_health(self) -> Request[Health]:
        """Whether the API answers."""
        return _reading("/health", Health)

    @Method
    def get_readiness(self) -> Request[Readiness]:
        """Whether each part that the API needs answers."""
        return Request("GET", "/health/ready", Readiness, also_ok=503)

    def _path(self, token: str | None = None) -> str:
        token = token or self.application
        if not token:
            raise ValueError("the client was made without `application`: whose is meant?")
        return f"/applications/{quote(token, safe='')}"

    def _chat(self, chat: int) -> str:
        return f"{self._path()}/chats/{chat}"

    def _reader(self, chat: int, user: str) -> str:
        return f"{self._chat(chat)}/readers/{quote(user, safe='')}"


_JSON = {"Content-Type": "application/json"}


def _reading[T](path: str, answer: type[T], query: _Parameters | None = None) -> Request[T]:
    given = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (query or {}).items()
        if value is not None
    }
    return Request("GET", path, answer, query=given)


def _changing[T](
    method: str,
    path: str,
    answer: type[T],
    body: NewMessage | Mapping[str, Any] | None,
    idempotency_key: str | None,
    if_match: int | None = None,
) -> Request[T]:
    headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if body is None:
        return Request(method, path, answer, headers=headers)
    return Request(method, path, answer, headers=headers | _JSON, content=msgspec.json.encode(body))


def _search_query(
    q: str,
    sender: str | None,
    created_from: datetime | None,
    created_to: datetime | None,
    sort: str | None,
    limit: int | None,
    cursor: str | None,
) -> _Parameters:
    times: _Parameters = {"from": created_from, "to": created_to}
    return {"q": q, "sender": sender, **times, "sort": sort, "limit": limit, "cursor": cursor}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not UNSET}
