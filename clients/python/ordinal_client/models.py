"""The data that the client sends and returns. The client skips fields that it does not know."""

from datetime import datetime
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

import msgspec

Metadata = dict[str, Any]
ChangeType = Literal["created", "edited", "deleted"]


class NumberRange(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


class Application(msgspec.Struct, frozen=True):
    """An application. `token` is its public name; `chats_count` counts the chats that are persisted."""

    token: str
    name: str
    chats_count: int
    created_at: datetime


class NewApplication(Application, frozen=True):
    """A new application with its secret key. The service shows the key only here."""

    secret_key: str


class NewKey(msgspec.Struct, frozen=True):
    """A new secret key. The service shows the key only here.

    The previous key is valid until `previous_valid_until`; None means that it is no longer valid.
    """

    secret_key: str
    key_version: int
    previous_valid_until: datetime | None = None


class Chat(msgspec.Struct, frozen=True):
    """A chat. `messages_count` and `last_message_number` cover the messages that are persisted."""

    number: int
    title: str | None
    metadata: Metadata | None
    messages_count: int
    last_message_number: int
    revision: int
    created_at: datetime
    edited_at: datetime | None


class ChatDetail(Chat, frozen=True):
    """A chat with the message numbers that the service skipped. No message will ever have these numbers."""

    skipped: tuple[NumberRange, ...]


class Message(msgspec.Struct, frozen=True):
    """A message of a chat. `edited_at` is None if nobody has edited the message."""

    number: int
    body: str
    sender: str | None
    metadata: Metadata | None
    revision: int
    created_at: datetime
    edited_at: datetime | None


class NewMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message to create. An import sets `created_at` to the time when the message was first written."""

    body: str
    sender: str | None = None
    metadata: Metadata | None = None
    created_at: datetime | None = None


class Batch(msgspec.Struct, frozen=True):
    """The first and the last number of messages that were created together."""

    first: int
    last: int


class Deleted(msgspec.Struct, frozen=True):
    """The number of a deleted chat or message, and the revision of the deletion."""

    number: int
    revision: int


class Page[T](msgspec.Struct, frozen=True):
    """A page of a list. `next` is the path of the next page; None on the last page."""

    items: tuple[T, ...]
    next: str | None


class SearchHit(Message, frozen=True):
    """A message that matches a search. `highlight` is an excerpt with the matches marked; it can be None."""

    chat: int
    highlight: str | None


class SearchPage(Page[SearchHit], frozen=True):
    """A page of search hits. `total` counts the hits of all pages."""

    total: int

    @property
    def cursor(self) -> str | None:
        """The `cursor` of the next page of the same search; None on the last page."""
        return parse_qs(urlsplit(self.next).query)["cursor"][0] if self.next else None


class Change(msgspec.Struct, frozen=True):
    """A changed message in its newest version. `message` is None if the message was deleted."""

    type: ChangeType
    number: int
    revision: int
    message: Message | None


class Changes(Page[Change], frozen=True):
    """A page of a chat's changes. A request with this `since` returns the changes after this page."""

    since: str


class _UndecodedChanges(Page[msgspec.Raw], frozen=True):
    since: str


class _TypeOfChange(msgspec.Struct, frozen=True):
    type: str


def decode_changes(content: bytes) -> Changes:
    """Decode a page of changes. Skip the changes whose type this version of the client does not know."""
    page = msgspec.json.decode(content, type=_UndecodedChanges)
    known = [
        msgspec.json.decode(change, type=Change)
        for change in page.items
        if msgspec.json.decode(change, type=_TypeOfChange).type in get_args(ChangeType)
    ]
    return Changes(tuple(known), page.next, page.since)


class ReadMarker(msgspec.Struct, frozen=True):
    """How far a user has read a chat.

    `number` is the last message that the user has read; 0 if the user has read none. `unread` counts the
    messages above it that are not deleted.
    """

    chat: int
    number: int
    unread: int
    last_message_number: int


class UserReadMarker(ReadMarker, frozen=True):
    """A read marker with the name of its user."""

    user: str


class Health(msgspec.Struct, frozen=True):
    """`status` is `"ok"` when the API responds."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """The readiness of the service. `parts` has `"ok"`, `"unavailable"` or `"unknown"` for each service."""

    status: str
    parts: dict[str, str]
