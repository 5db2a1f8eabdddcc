"""The methods of both clients. Each is declared once; `descriptors.py` makes the methods of the declarations.

A declaration says with which `Request` the client calls the API, and its `Request[T]` says what the method
returns.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from ordinal_client.descriptors import Method, Paginator
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
    decode_changes,
)
from ordinal_client.request import (
    JSON_HEADERS,
    Parameters,
    Request,
    read_request,
    write_request,
)


class Methods:
    """The methods of both clients. The docstring of `Client` says what all methods have in common."""

    application: str

    # Applications. The admin key creates and lists them.

    @Method
    def create_application(
        self, name: str, *, idempotency_key: str | None = None
    ) -> Request[NewApplication]:
        """Create an application. This needs the admin key.

        :param name: a name for people, at most 255 characters.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the application with its secret key. The service never shows this key again.
        :raises ConflictError: the first call with this `idempotency_key` has no response yet.
        """
        return write_request(
            "POST", "/applications", NewApplication, {"name": name}, idempotency_key
        )

    @Method
    def list_applications(
        self, *, before: str | None = None, limit: int | None = None
    ) -> Request[Page[Application]]:
        """List the applications, the newest first. This needs the admin key.

        :param before: the `before` in the `next` of the last page.
        :param limit: the number of applications of the page, at most 100; 50 by default.
        :returns: one page. `applications` iterates over all pages.
        """
        parameters: Parameters = {"before": before, "limit": limit}
        return read_request("/applications", Page[Application], parameters)

    applications = Paginator(list_applications)

    @Method
    def get_application(self, token: str | None = None) -> Request[Application]:
        """Read an application.

        :param token: the token of the application; the client's own application by default.
        :returns: the application.
        :raises NotFoundError: there is no such application.
        """
        return read_request(self._application_path(token), Application)

    @Method
    def rename_application(
        self, name: str, token: str | None = None, *, idempotency_key: str | None = None
    ) -> Request[Application]:
        """Rename an application.

        :param name: the new name, at most 255 characters.
        :param token: the token of the application; the client's own application by default.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the application with its new name.
        :raises NotFoundError: there is no such application.
        :raises ConflictError: the first call with this `idempotency_key` has no response yet.
        """
        path = self._application_path(token)
        return write_request("PATCH", path, Application, {"name": name}, idempotency_key)

    @Method
    def delete_application(
        self, token: str | None = None, *, idempotency_key: str | None = None
    ) -> Request[None]:
        """Delete an application with all its chats, messages and read markers.

        :param token: the token of the application; the client's own application by default.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :raises NotFoundError: there is no such application.
        :raises ConflictError: the first call with this `idempotency_key` has no response yet.
        """
        path = self._application_path(token)
        return write_request("DELETE", path, type(None), None, idempotency_key)

    @Method
    def rotate_key(
        self,
        overlap_seconds: int,
        token: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Request[NewKey]:
        """Replace the secret key of an application. This client keeps using the key it was created with.

        :param overlap_seconds: how long the previous key stays valid, at most 7 days; 0 ends it at once.
        :param token: the token of the application; the client's own application by default.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the new key. The service never shows it again.
        :raises NotFoundError: there is no such application.
        :raises ConflictError: another request replaced the key at the same time.
        """
        path = f"{self._application_path(token)}/keys"
        body = {"overlap_seconds": overlap_seconds}
        return write_request("POST", path, NewKey, body, idempotency_key)

    # Chats

    @Method
    def create_chat(
        self,
        title: str | None = None,
        metadata: Metadata | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Request[ChatDetail]:
        """Create a chat. The chat takes messages at once.

        :param title: a title for people, at most 255 characters.
        :param metadata: a JSON object of your own, at most 4,096 bytes.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the chat with its number.
        :raises NotFoundError: there is no such application.
        """
        path = f"{self._application_path()}/chats"
        body = {"title": title, "metadata": metadata}
        return write_request("POST", path, ChatDetail, body, idempotency_key)

    @Method
    def list_chats(
        self, *, before: int | None = None, after: int | None = None, limit: int | None = None
    ) -> Request[Page[Chat]]:
        """List the chats by number, the newest first; with `after`, the oldest first.

        :param before: the number of a chat; the page has the chats with lower numbers.
        :param after: the number of a chat; the page has the chats with higher numbers.
        :param limit: the number of chats of the page, at most 100; 50 by default.
        :returns: one page. `chats` iterates over all pages.
        :raises NotFoundError: there is no such application.
        """
        path = f"{self._application_path()}/chats"
        return read_request(path, Page[Chat], {"before": before, "after": after, "limit": limit})

    chats = Paginator(list_chats)

    @Method
    def get_chat(self, chat: int) -> Request[ChatDetail]:
        """Read a chat with its counts and the message numbers that the service skipped.

        :param chat: the number of the chat.
        :returns: the chat.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        return read_request(self._chat_path(chat), ChatDetail)

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
        """Change the title or the metadata of a chat. A field that is not given stays as it is.

        :param chat: the number of the chat.
        :param title: the new title; None removes the title.
        :param metadata: the new metadata; None removes the metadata.
        :param if_match: a revision; the edit fails if the chat has another one.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the chat in its new version.
        :raises NotFoundError: there is no such application or chat.
        :raises ConflictError: other requests changed the chat at the same time.
        :raises GoneError: the chat was deleted.
        :raises RevisionMismatchError: the chat has another revision than `if_match`.
        """
        body = _without_unset(title=title, metadata=metadata)
        return write_request("PATCH", self._chat_path(chat), Chat, body, idempotency_key, if_match)

    @Method
    def delete_chat(
        self, chat: int, *, if_match: int | None = None, idempotency_key: str | None = None
    ) -> Request[Deleted]:
        """Delete a chat with its messages. No other chat will have its number.

        :param chat: the number of the chat.
        :param if_match: a revision; the deletion fails if the chat has another one.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the number of the chat and the revision of its deletion.
        :raises NotFoundError: there is no such application or chat.
        :raises ConflictError: other requests changed the chat at the same time.
        :raises GoneError: the chat is deleted already.
        :raises RevisionMismatchError: the chat has another revision than `if_match`.
        """
        path = self._chat_path(chat)
        return write_request("DELETE", path, Deleted, None, idempotency_key, if_match)

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
        """Post a message to a chat. The service keeps every message that it returns.

        :param chat: the number of the chat.
        :param body: the text, at most 20,000 characters.
        :param sender: the name of the author. A user token must give the name of its user.
        :param metadata: a JSON object of your own, at most 4,096 bytes.
        :param created_at: for imports: when the message was first written; now by default.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the message with its number.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        path = f"{self._chat_path(chat)}/messages"
        message = NewMessage(body, sender, metadata, created_at)
        return write_request("POST", path, Message, message, idempotency_key)

    @Method
    def create_messages(
        self,
        chat: int,
        messages: Iterable[NewMessage | msgspec.Raw],
        *,
        idempotency_key: str | None = None,
    ) -> Request[Batch]:
        """Post messages with consecutive numbers: all of them, or none if one breaks a rule.

        :param chat: the number of the chat.
        :param messages: at most 500 messages; a `msgspec.Raw` is a message that is JSON already.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the first and the last number.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        path = f"{self._chat_path(chat)}/messages/batch"
        return write_request("POST", path, Batch, {"messages": list(messages)}, idempotency_key)

    @Method
    def list_messages(
        self,
        chat: int,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> Request[Page[Message]]:
        """List the messages of a chat by number, the newest first; with `after`, the oldest first.

        :param chat: the number of the chat.
        :param before: the number of a message; the page has the messages with lower numbers.
        :param after: the number of a message; the page has the messages with higher numbers.
        :param limit: the number of messages of the page, at most 100; 50 by default.
        :returns: one page, without deleted messages. `messages` iterates over all pages.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        path = f"{self._chat_path(chat)}/messages"
        parameters: Parameters = {"before": before, "after": after, "limit": limit}
        return read_request(path, Page[Message], parameters)

    messages = Paginator(list_messages)

    @Method
    def get_message(self, chat: int, number: int) -> Request[Message]:
        """Read a message.

        :param chat: the number of the chat.
        :param number: the number of the message.
        :returns: the message.
        :raises NotFoundError: there is no such application, chat or message.
        :raises GoneError: the chat or the message was deleted.
        """
        return read_request(self._message_path(chat, number), Message)

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
        """Change the body or the metadata of a message. A field that is not given stays as it is.

        :param chat: the number of the chat.
        :param number: the number of the message.
        :param body: the new text.
        :param metadata: the new metadata; None removes the metadata.
        :param if_match: a revision; the edit fails if the message has another one.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the message in its new version.
        :raises NotFoundError: there is no such application, chat or message.
        :raises ConflictError: other requests changed messages of the chat at the same time.
        :raises GoneError: the chat or the message was deleted.
        :raises RevisionMismatchError: the message has another revision than `if_match`.
        """
        path = self._message_path(chat, number)
        fields = _without_unset(body=body, metadata=metadata)
        return write_request("PATCH", path, Message, fields, idempotency_key, if_match)

    @Method
    def delete_message(
        self,
        chat: int,
        number: int,
        *,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> Request[Deleted]:
        """Delete a message. No other message of the chat will have its number.

        :param chat: the number of the chat.
        :param number: the number of the message.
        :param if_match: a revision; the deletion fails if the message has another one.
        :param idempotency_key: within 24 hours, the same key and arguments return the first response.
        :returns: the number of the message and the revision of its deletion.
        :raises NotFoundError: there is no such application, chat or message.
        :raises ConflictError: other requests changed messages of the chat at the same time.
        :raises GoneError: the chat was deleted, or the message is deleted already.
        :raises RevisionMismatchError: the message has another revision than `if_match`.
        """
        path = self._message_path(chat, number)
        return write_request("DELETE", path, Deleted, None, idempotency_key, if_match)

    # Search, changes and read markers

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
        """Search the messages of all chats. A new message is searchable after a second or two.

        :param q: words, parts of words, and phrases in double quotes; at most 500 characters.
        :param sender: only messages of this author.
        :param created_from: only messages of this time or later.
        :param created_to: only messages before this time.
        :param sort: the order of the hits; `relevance` by default.
        :param limit: the number of hits of the page, at most 100; 50 by default.
        :param cursor: the `cursor` of the previous page of the same search.
        :returns: one page and the number of all hits. `search_hits` iterates over all pages.
        :raises NotFoundError: there is no such application.
        """
        path = f"{self._application_path()}/search"
        parameters = _search_parameters(q, sender, created_from, created_to, sort, limit, cursor)
        return read_request(path, SearchPage, parameters)

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
        """Search the messages of one chat. A new message is searchable after a second or two.

        :param chat: the number of the chat.
        :param q: words, parts of words, and phrases in double quotes; at most 500 characters.
        :param sender: only messages of this author.
        :param created_from: only messages of this time or later.
        :param created_to: only messages before this time.
        :param sort: the order of the hits; `relevance` by default.
        :param limit: the number of hits of the page, at most 100; 50 by default.
        :param cursor: the `cursor` of the previous page of the same search.
        :returns: one page and the number of all hits. `chat_search_hits` iterates over all pages.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        path = f"{self._chat_path(chat)}/messages/search"
        parameters = _search_parameters(q, sender, created_from, created_to, sort, limit, cursor)
        return read_request(path, SearchPage, parameters)

    chat_search_hits = Paginator(search_chat_messages)

    @Method
    def list_changes(
        self, chat: int, *, since: str | None = None, limit: int | None = None
    ) -> Request[Changes]:
        """List the messages of a chat that were created, edited or deleted, in the order of the changes.

        Each message comes once, in its newest version. The client skips types of changes that it does not
        know.

        :param chat: the number of the chat.
        :param since: the `since` of an earlier page; the start of the chat by default.
        :param limit: the number of changes of the page, at most 100; 50 by default.
        :returns: one page. `follow_changes` iterates over all pages.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        path = f"{self._chat_path(chat)}/changes"
        parameters: Parameters = {"since": since, "limit": limit}
        return read_request(path, Changes, parameters, decode_changes)

    @Method
    def mark_read(self, chat: int, user: str, number: int) -> Request[UserReadMarker]:
        """Record that a user has read a chat up to a message. A read marker never moves back.

        :param chat: the number of the chat.
        :param user: the name of the user.
        :param number: the number of the last message that the user has read.
        :returns: the read marker, which may be higher than `number`.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        path = self._reader_path(chat, user)
        content = msgspec.json.encode({"number": number})
        return Request("PUT", path, UserReadMarker, headers=JSON_HEADERS, content=content)

    @Method
    def get_read_marker(self, chat: int, user: str) -> Request[UserReadMarker]:
        """Read how far a user has read a chat, and how many messages are unread.

        :param chat: the number of the chat.
        :param user: the name of the user.
        :returns: the read marker. Its number is 0 if the user has none in this chat.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        return read_request(self._reader_path(chat, user), UserReadMarker)

    @Method
    def list_read_markers(
        self,
        user: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> Request[Page[ReadMarker]]:
        """List the read markers of a user by chat, the newest chat first; with `after`, the oldest first.

        :param user: the name of the user.
        :param before: the number of a chat; the page has the chats with lower numbers.
        :param after: the number of a chat; the page has the chats with higher numbers.
        :param limit: the most read markers of the page, at most 100; 50 by default.
        :returns: one page, which may have fewer items. `read_markers` iterates over all pages.
        :raises NotFoundError: there is no such application.
        """
        path = f"{self._application_path()}/readers/{quote(user, safe='')}"
        parameters: Parameters = {"before": before, "after": after, "limit": limit}
        return read_request(path, Page[ReadMarker], parameters)

    read_markers = Paginator(list_read_markers)

    # Health

    @Method
    def get_health(self) -> Request[Health]:
        """Check that the API responds. This needs no credential.

        :returns: the status `"ok"`.
        """
        return read_request("/health", Health)

    @Method
    def get_readiness(self) -> Request[Readiness]:
        """Check each part that the API needs. This needs no credential.

        :returns: the status of the service and of each part. A failing part raises no error.
        """
        return Request("GET", "/health/ready", Readiness, also_ok=503)

    def _application_path(self, token: str | None = None) -> str:
        token = token or self.application
        if not token:
            raise ValueError("the client was created without `application`: pass the token there")
        return f"/applications/{quote(token, safe='')}"

    def _chat_path(self, chat: int) -> str:
        return f"{self._application_path()}/chats/{chat}"

    def _message_path(self, chat: int, number: int) -> str:
        return f"{self._chat_path(chat)}/messages/{number}"

    def _reader_path(self, chat: int, user: str) -> str:
        return f"{self._chat_path(chat)}/readers/{quote(user, safe='')}"


def _search_parameters(
    q: str,
    sender: str | None,
    created_from: datetime | None,
    created_to: datetime | None,
    sort: str | None,
    limit: int | None,
    cursor: str | None,
) -> Parameters:
    times: Parameters = {"from": created_from, "to": created_to}
    return {"q": q, "sender": sender, **times, "sort": sort, "limit": limit, "cursor": cursor}


def _without_unset(**fields: Any) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}
