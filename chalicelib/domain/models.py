"""The things that the service stores: applications, chats, messages, and the leases of their numbers.

A version of a chat or a message is complete: it is never a difference. Versions may arrive twice, late, or
before the chat that they belong to; the newer revision wins.
"""

from typing import Any, NamedTuple, NewType

import msgspec

# An application's public name. The secrets are keys and user tokens.
AppToken = NewType("AppToken", str)
# A user's name, as the application knows it.
UserName = NewType("UserName", str)
ChatNumber = NewType("ChatNumber", int)
MessageNumber = NewType("MessageNumber", int)
Revision = NewType("Revision", int)
Epoch = NewType("Epoch", int)
# An RFC 3339 time in UTC with milliseconds (`2026-01-31T12:00:00.000Z`): it sorts as text.
Timestamp = NewType("Timestamp", str)

Metadata = dict[str, Any]


class Lease(msgspec.Struct, frozen=True):
    """The right of one incarnation of Redis to issue the numbers of a counter, up to `ceiling`.

    `holder` is the incarnation. `epoch` counts the leases of the counter.
    """

    holder: str
    epoch: Epoch
    ceiling: int


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a message. A deleted one has `deleted_at` and no body.

    `metadata_by_server` says that the metadata was written with the secret key: no user changes it.
    """

    number: MessageNumber
    revision: Revision
    body: str
    sender: str | None = None
    metadata: Metadata | None = None
    metadata_by_server: bool = False
    created_at: Timestamp
    edited_at: Timestamp | None = None
    deleted_at: Timestamp | None = None
    idempotency_key: str | None = None


class Chat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a chat.

    `messages_lease` is the first lease of its message numbers. A version has it until the chat has a row,
    because messages may get numbers before that.
    """

    number: ChatNumber
    revision: Revision
    title: str | None = None
    metadata: Metadata | None = None
    created_at: Timestamp
    edited_at: Timestamp | None = None
    deleted_at: Timestamp | None = None
    idempotency_key: str | None = None
    messages_lease: Lease | None = None


class Pending(msgspec.Struct, frozen=True):
    """A version that was accepted, and is not known to be persisted yet."""

    accepted_at_ms: int
    lease: Lease
    version: Message | Chat


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `deleted_at` is set while its chats are still being removed.

    The secret key is valid in the version `key_version`. The version before it is valid until
    `previous_key_until`.
    """

    token: AppToken
    name: str
    chats_count: int
    created_at: Timestamp
    key_version: int
    previous_key_until: Timestamp | None = None
    deleted_at: Timestamp | None = None


class ListedApplication(NamedTuple):
    """An application, with the id by which lists are ordered."""

    id: int
    token: AppToken


class ListedPage(NamedTuple):
    """Some applications, in the order of their ids: all that were searched for up to the id `last`."""

    applications: list[ListedApplication]
    last: int
    is_end: bool

    def up_to(self, last: int) -> "ListedPage":
        """The part of the page up to an id. It is the end if the page reaches this id."""
        listed = [application for application in self.applications if application.id <= last]
        return ListedPage(listed, min(self.last, last), self.is_end or self.last >= last)


class RoundState(msgspec.Struct, frozen=True):
    """Where the next run of a task starts: after the application with the id `after`.

    A run that measures may not reach all applications. Then it stores the oldest pending version since the
    round began, and that of the round before.
    """

    after: int = 0
    oldest_at_ms: int | None = None
    previous_oldest_at_ms: int | None = None


class PurgeStep(NamedTuple):
    """What one step of the purge has emptied, and whether nothing else of the application is left."""

    emptied: "list[PurgedItem]"
    is_done: bool


class PurgedItem(NamedTuple):
    """A deleted chat, or a deleted application (`chat` is None), that holds nothing any more."""

    token: AppToken
    chat: ChatNumber | None


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """A chat with its cached counts, which only MySQL knows. A stub has revision 0."""

    chat: Chat
    messages_count: int
    last_message_number: int
