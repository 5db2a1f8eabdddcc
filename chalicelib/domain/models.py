"""What the words mean: leases, messages, chats, and the records that carry them on the queues.

A record holds the full state of what it is about, with its revision, never a difference: it may come
twice, late, or before the chat it belongs to, and the newer revision wins. Times are RFC 3339 in UTC
with milliseconds (`2026-01-31T12:00:00.000Z`), so that they sort as text.
"""

from typing import Any, NamedTuple, NewType

import msgspec

# An application's public name. The secrets are called keys, and user tokens.
AppToken = NewType("AppToken", str)
# A user's name, as the application knows it.
UserName = NewType("UserName", str)
ChatNumber = NewType("ChatNumber", int)
MessageNumber = NewType("MessageNumber", int)
Revision = NewType("Revision", int)
Epoch = NewType("Epoch", int)
# An RFC 3339 time in UTC with milliseconds.
Timestamp = NewType("Timestamp", str)

Metadata = dict[str, Any]


class Lease(msgspec.Struct, frozen=True):
    """The right of one Redis memory to hand out the numbers of a counter, up to `ceiling`.

    `holder` names the memory, `epoch` counts how often a memory has begun on this counter.
    """

    holder: str
    epoch: int
    ceiling: int


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of a message. `deleted_at` marks a deleted one, which has no body."""

    number: int
    revision: int
    body: str
    sender: str | None = None
    metadata: Metadata | None = None
    created_at: str
    edited_at: str | None = None
    deleted_at: str | None = None
    idempotency_key: str | None = None


class Chat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of a chat.

    `messages_lease` is the first lease of its message numbers. It is part of the state until the
    chat's row is there, because messages may be numbered before that.
    """

    number: int
    revision: int
    title: str | None = None
    metadata: Metadata | None = None
    created_at: str
    edited_at: str | None = None
    deleted_at: str | None = None
    idempotency_key: str | None = None
    messages_lease: Lease | None = None


class Pending(msgspec.Struct, frozen=True):
    """A state that was accepted and is not known to be persisted yet."""

    accepted_at_ms: int
    lease: Lease
    state: Message | Chat


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as MySQL keeps it. `deleted_at` is set while what it held is still being removed.

    The secret key is valid in the version `key_version`, and until `previous_key_until` in the one before.
    """

    token: str
    name: str
    chats_count: int
    created_at: str
    key_version: int
    previous_key_until: str | None = None
    deleted_at: str | None = None


class PurgedItem(NamedTuple):
    """A deleted chat, or a deleted application (`chat` is None), that holds nothing any more."""

    token: str
    chat: int | None


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """A chat with what MySQL alone knows: its cached counts. A stub has revision 0."""

    chat: Chat
    messages_count: int
    last_message_number: int
