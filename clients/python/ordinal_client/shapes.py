"""What goes in and what comes out. Fields that this version does not know are left aside."""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

Metadata = dict[str, Any]


class Numbers(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


class Application(msgspec.Struct, frozen=True):
    """An application."""

    token: str
    name: str
    chats_count: int
    created_at: datetime


class NewApplication(Application, frozen=True):
    """An application that was just made, with its secret key, which is shown this once."""

    secret_key: str


class NewKey(msgspec.Struct, frozen=True):
    """A secret key that was just made, and until when the one before it is valid too."""

    secret_key: str
    key_version: int
    previous_valid_until: datetime | None = None


class Chat(msgspec.Struct, frozen=True):
    """A chat. The counts are those of what is persisted."""

    number: int
    title: str | None
    metadata: Metadata | None
    messages_count: int
    last_message_number: int
    revision: int
    created_at: datetime
    edited_at: datetime | None


class OneChat(Chat, frozen=True):
    """A chat that was asked for by its number: `skipped` are message numbers that nobody will get."""

    skipped: tuple[Numbers, ...]


class Message(msgspec.Struct, frozen=True):
    """A message."""

    number: int
    body: str
    sender: str | None
    metadata: Metadata | None
    revision: int
    created_at: datetime
    edited_at: datetime | None


class NewMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message to post. `created_at` is for imports: when it was first written."""

    body: str
    sender: str | None = None
    metadata: Metadata | None = None
    created_at: datetime | None = None


class Batch(msgspec.Struct, frozen=True):
    """The numbers that a batch was given."""

    first: int
    last: int


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted, and the revision of its deletion."""

    number: int
    revision: int


class Page[T](msgspec.Struct, frozen=True):
    """A page of a list, and the path of the one behind it; None at the end."""

    items: tuple[T, ...]
    next: str | None


class Hit(Message, frozen=True):
    """A message that a search found, and a piece of it with what was looked for marked."""

    chat: int
    highlight: str | None


class Found(Page[Hit], frozen=True):
    """A page of what a search found; `total` counts all pages."""

    total: int

    @property
    def cursor(self) -> str | None:
        """What a later search of the same goes on with; None at the end."""
        return parse_qs(urlsplit(self.next).query)["cursor"][0] if self.next else None


class Change(msgspec.Struct, frozen=True):
    """A message that was changed, in its newest state. There is no message where it was deleted."""

    type: Literal["created", "edited", "deleted"]
    number: int
    revision: int
    message: Message | None


class Changes(Page[Change], frozen=True):
    """Changes of a chat. Asking again with this `since` goes on behind them."""

    since: str


class Marker(msgspec.Struct, frozen=True):
    """How far a user has read a chat; `number` is 0 where the user has read nothing."""

    chat: int
    number: int
    unread: int
    last_message_number: int


class Reader(Marker, frozen=True):
    """The same, with the user."""

    user: str


class Health(msgspec.Struct, frozen=True):
    """Whether the API answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether all parts answer, and each of them: `ok`, or what is wrong."""

    status: str
    parts: dict[str, str]
