"""Query parameters and response bodies of the API."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.change_feed import Change, ChangeType
from chalicelib.domain.limits import (
    DEFAULT_PAGE_ITEMS,
    MAX_NUMBER,
    MAX_PAGE_ITEMS,
    MAX_QUERY_CHARS,
    MAX_SENDER_CHARS,
)
from chalicelib.domain.models import Application, ChatRow, Message, Metadata
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.requests import Time
from chalicelib.domain.unread import UnreadCount

# The parameters that lists and searches take.

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="How many items at most.")]
Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


class _Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query parameters, no others than these."""


class NoQuery(_Query, frozen=True):
    """No parameters."""


class PageQuery(_Query, frozen=True, kw_only=True):
    """A page of a list by number: newest first, unless `after` is given."""

    before: (
        Annotated[Number, Meta(description="Only numbers below this one, newest first.")]
        | UnsetType
    ) = UNSET
    after: (
        Annotated[
            int, Meta(ge=0, le=MAX_NUMBER, description="Only numbers above this one, oldest first.")
        ]
        | UnsetType
    ) = UNSET
    limit: Limit = DEFAULT_PAGE_ITEMS

    def page(self) -> PageRequest:
        """The same, as the use cases take it."""
        return PageRequest(limit=self.limit, before=or_none(self.before), after=or_none(self.after))


class ApplicationsQuery(_Query, frozen=True, kw_only=True):
    """A page of the applications, newest first."""

    before: (
        Annotated[str, Meta(description="Only applications that were created before this token's.")]
        | UnsetType
    ) = UNSET
    limit: Limit = DEFAULT_PAGE_ITEMS


class ChangesQuery(_Query, frozen=True, kw_only=True):
    """From where the changes of a chat go on."""

    since: Annotated[
        str,
        Meta(
            description="`0` for all, or the `since` of an earlier answer.",
            examples=["0"],
            extra_json_schema={"pattern": r"^(0|[0-9]{1,15}\.[0-9]{1,15})$"},
        ),
    ] = "0"
    limit: Limit = DEFAULT_PAGE_ITEMS


class SearchQuery(_Query, frozen=True, kw_only=True):
    """What to look for in messages, and which page of what is found."""

    q: Annotated[
        str,
        Meta(
            max_length=MAX_QUERY_CHARS,
            description='Words or parts of words, all of which must be there; `"…"` is a phrase.',
            examples=["kernel panic"],
        ),
    ]
    sender: Annotated[str, Meta(max_length=MAX_SENDER_CHARS)] | UnsetType = UNSET
    from_: Annotated[Time, Meta(description="Messages created then or later.")] | UnsetType = (
        msgspec.field(name="from", default=UNSET)
    )
    to: Annotated[Time, Meta(description="Messages created before then.")] | UnsetType = UNSET
    sort: Literal["relevance", "number"] = "relevance"
    limit: Limit = DEFAULT_PAGE_ITEMS
    cursor: Annotated[str, Meta(description="Opaque: from `next`.")] | UnsetType = UNSET


def or_none[T](value: T | UnsetType) -> T | None:
    """None where the parameter was not given."""
    return None if value is UNSET else value


# The shapes of answers. Internal ids are not in them.


class ApplicationView(msgspec.Struct, frozen=True):
    """An application."""

    token: str
    name: str
    chats_count: int
    created_at: str


class NewApplicationView(ApplicationView, frozen=True):
    """An application that was just made, with its secret key, which is shown this once."""

    secret_key: str


class NewKeyView(msgspec.Struct, frozen=True):
    """A secret key that was just made: it is shown this once.

    `previous_valid_until` says until when the one before it is valid too; null where it is not.
    """

    secret_key: str
    key_version: int
    previous_valid_until: str | None


class ChatView(msgspec.Struct, frozen=True):
    """A chat in a list. The counts are those of what is persisted."""

    number: int
    title: str | None
    metadata: Metadata | None
    messages_count: int
    last_message_number: int
    revision: int
    created_at: str
    edited_at: str | None


class OneChatView(ChatView, frozen=True):
    """A chat, with the message numbers that were passed over."""

    skipped: list[NumberRange]


class MessageView(msgspec.Struct, frozen=True):
    """A message."""

    number: int
    body: str
    sender: str | None
    metadata: Metadata | None
    revision: int
    created_at: str
    edited_at: str | None


class ChangeView(msgspec.Struct, frozen=True):
    """A message that was changed, in its newest state. There is no message where it was deleted."""

    type: ChangeType
    number: int
    revision: int
    message: MessageView | None


class ChangesView(msgspec.Struct, frozen=True):
    """Changes; `since` goes on behind them, and `next` is there while more are stored."""

    items: list[ChangeView]
    since: str
    next: str | None


class HitView(MessageView, frozen=True):
    """A message that a search found."""

    chat: int
    highlight: str | None


class BatchView(msgspec.Struct, frozen=True):
    """The numbers that a batch was given."""

    first: int
    last: int


class DeletedView(msgspec.Struct, frozen=True):
    """What was deleted, and the revision of its deletion."""

    number: int
    revision: int


class HealthView(msgspec.Struct, frozen=True):
    """Whether the API answers."""

    status: str


class ReadinessView(msgspec.Struct, frozen=True):
    """Whether all parts answer, and each of them: `ok`, or what is wrong."""

    status: str
    parts: dict[str, str]


class ChatReadingView(msgspec.Struct, frozen=True):
    """How far a user has read a chat, and how many messages above that are not deleted."""

    chat: int
    number: int
    unread: int
    last_message_number: int


class ReadingView(ChatReadingView, frozen=True):
    """The same, with the user."""

    user: str


class ListView[T](msgspec.Struct, frozen=True):
    """A page of a list."""

    items: list[T]
    next: str | None


class FoundView(msgspec.Struct, frozen=True):
    """A page of what a search found."""

    items: list[HitView]
    total: int
    next: str | None


def application_view(application: Application) -> ApplicationView:
    return ApplicationView(
        application.token, application.name, application.chats_count, application.created_at
    )


def new_application_view(application: Application, secret_key: str) -> NewApplicationView:
    return NewApplicationView(
        application.token,
        application.name,
        application.chats_count,
        application.created_at,
        secret_key,
    )


def chat_view(row: ChatRow) -> ChatView:
    return ChatView(*_chat_fields(row))


def one_chat_view(row: ChatRow, skipped: list[NumberRange]) -> OneChatView:
    return OneChatView(*_chat_fields(row), skipped)


def message_view(message: Message) -> MessageView:
    return MessageView(*_message_fields(message))


def change_view(change: Change) -> ChangeView:
    message = change.message
    view = None if change.type == "deleted" else message_view(message)
    return ChangeView(change.type, message.number, message.revision, view)


def hit_view(chat: int, message: Message, highlight: str | None) -> HitView:
    return HitView(*_message_fields(message), chat, highlight)


def chat_reading_view(reading: UnreadCount) -> ChatReadingView:
    return ChatReadingView(reading.chat, reading.number, reading.unread, reading.last)


def reading_view(user: str, reading: UnreadCount) -> ReadingView:
    return ReadingView(reading.chat, reading.number, reading.unread, reading.last, user)


def _chat_fields(
    row: ChatRow,
) -> tuple[int, str | None, Metadata | None, int, int, int, str, str | None]:
    c = row.chat
    return (
        c.number,
        c.title,
        c.metadata,
        row.messages_count,
        row.last_message_number,
        c.revision,
        c.created_at,
        c.edited_at,
    )


def _message_fields(
    m: Message,
) -> tuple[int, str, str | None, Metadata | None, int, str, str | None]:
    return m.number, m.body, m.sender, m.metadata, m.revision, m.created_at, m.edited_at
