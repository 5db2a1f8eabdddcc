"""The shapes of answers. Internal ids are not in them."""

import msgspec

from chalicelib.domain.changes import Change, ChangeType
from chalicelib.domain.reading import Reading
from chalicelib.domain.records import Application, ChatRow, Message, Metadata, Numbers


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

    skipped: list[Numbers]


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


def one_chat_view(row: ChatRow, skipped: list[Numbers]) -> OneChatView:
    return OneChatView(*_chat_fields(row), skipped)


def message_view(message: Message) -> MessageView:
    return MessageView(*_message_fields(message))


def change_view(change: Change) -> ChangeView:
    message = change.message
    view = None if change.type == "deleted" else message_view(message)
    return ChangeView(change.type, message.number, message.revision, view)


def hit_view(chat: int, message: Message, highlight: str | None) -> HitView:
    return HitView(*_message_fields(message), chat, highlight)


def chat_reading_view(reading: Reading) -> ChatReadingView:
    return ChatReadingView(reading.chat, reading.number, reading.unread, reading.last)


def reading_view(user: str, reading: Reading) -> ReadingView:
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
