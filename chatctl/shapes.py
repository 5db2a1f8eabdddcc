"""What the API answers, as far as chatctl reads it. Fields that it does not know are left aside."""

from typing import Any

import msgspec


class Numbers(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int


class Application(msgspec.Struct, frozen=True):
    """An application; the secret key is there only in the answer that made it."""

    token: str
    name: str
    secret_key: str = ""


class Chat(msgspec.Struct, frozen=True):
    """A chat; `skipped` is there only where it was asked for by its number."""

    number: int
    title: str | None
    metadata: dict[str, Any] | None = None
    last_message_number: int = 0
    skipped: tuple[Numbers, ...] = ()


class Message(msgspec.Struct, frozen=True):
    """A message."""

    number: int
    body: str
    sender: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: str | None = None
    edited_at: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """The numbers that a batch was given."""

    first: int
    last: int


class Page[T](msgspec.Struct, frozen=True):
    """A page of a list, and the path of the one after it."""

    items: list[T]
    next: str | None = None
