"""The bodies of responses, their paths, and the query parameters."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

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
from chalicelib.domain.models import (
    Application,
    AppToken,
    ChatNumber,
    ChatRow,
    Message,
    MessageNumber,
    Metadata,
    Revision,
    Timestamp,
)
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import Page, PageRequest
from chalicelib.domain.requests import Time
from chalicelib.domain.search import SearchHit
from chalicelib.domain.unread import UnreadCount
from chalicelib.entrypoints.http.request import Request

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The most items of a page.")]
Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


class _Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query parameters; others are refused."""


class NoQuery(_Query, frozen=True):
    """No query parameters."""


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
        """The page that these parameters name."""
        before, after = unset_to_none(self.before), unset_to_none(self.after)
        return PageRequest(limit=self.limit, before=before, after=after)


class ApplicationsQuery(_Query, frozen=True, kw_only=True):
    """A page of the applications, newest first."""

    before: (
        Annotated[str, Meta(description="Only older applications. Opaque; `next` has it.")]
        | UnsetType
    ) = UNSET
    limit: Limit = DEFAULT_PAGE_ITEMS


class ChangesQuery(_Query, frozen=True, kw_only=True):
    """The changes of a chat after `since`."""

    since: Annotated[
        str,
        Meta(
            description="`0` for all changes, or the `since` of an earlier response.",
            examples=["0"],
            extra_json_schema={"pattern": r"^(0|[0-9]{1,15}\.[0-9]{1,15})$"},
        ),
    ] = "0"
    limit: Limit = DEFAULT_PAGE_ITEMS


class SearchQuery(_Query, frozen=True, kw_only=True):
    """A search, and which page of its hits."""

    q: Annotated[
        str,
        Meta(
            max_length=MAX_QUERY_CHARS,
            description='Words or parts of words. A message must have all of them; `"…"` is a phrase.',
            examples=["kernel panic"],
        ),
    ]
    sender: Annotated[str, Meta(max_length=MAX_SENDER_CHARS)] | UnsetType = UNSET
    from_: (
        Annotated[Time, Meta(description="Messages created at this time or later.")] | UnsetType
    ) = msgspec.field(name="from", default=UNSET)
    to: Annotated[Time, Meta(description="Messages created before this time.")] | UnsetType = UNSET
    sort: Literal["relevance", "number"] = "relevance"
    limit: Limit = DEFAULT_PAGE_ITEMS
    cursor: Annotated[str, Meta(description="Opaque; `next` has it.")] | UnsetType = UNSET


def unset_to_none[T](value: T | UnsetType) -> T | None:
    """None for a parameter that was not sent."""
    return None if value is UNSET else value


class ApplicationResponse(msgspec.Struct, frozen=True):
    """An application."""

    token: AppToken
    name: str
    chats_count: int
    created_at: Timestamp


class NewApplicationResponse(ApplicationResponse, frozen=True):
    """A new application with its secret key. The key is shown only this once."""

    secret_key: str


class NewKeyResponse(msgspec.Struct, frozen=True):
    """A new secret key. It is shown only this once.

    The replaced key is valid until `previous_valid_until`; null means that it is not valid any more.
    """

    secret_key: str
    key_version: int
    previous_valid_until: str | None


class ChatResponse(msgspec.Struct, frozen=True):
    """A chat in a list. The counts are those of stored messages."""

    number: int
    title: str | None
    metadata: Metadata | None
    messages_count: int
    last_message_number: int
    revision: Revision
    created_at: Timestamp
    edited_at: Timestamp | None


class ChatDetailResponse(ChatResponse, frozen=True):
    """A chat, with the message numbers that were skipped."""

    skipped: list[NumberRange]


class MessageResponse(msgspec.Struct, frozen=True):
    """A message."""

    number: int
    body: str
    sender: str | None
    metadata: Metadata | None
    revision: Revision
    created_at: Timestamp
    edited_at: Timestamp | None


class ChangeResponse(msgspec.Struct, frozen=True):
    """A changed message in its newest version. If it was deleted, `message` is null."""

    type: ChangeType
    number: int
    revision: Revision
    message: MessageResponse | None


class ChangesResponse(msgspec.Struct, frozen=True):
    """Changes. The next request continues with `since`; if `next` is not null, more are already stored."""

    items: list[ChangeResponse]
    since: str
    next: str | None


class SearchHitResponse(MessageResponse, frozen=True):
    """A message that a search found.

    `highlight` is HTML-escaped text with `<em>` around each match. It is null if the highlights of the
    hits before it took too long.
    """

    chat: ChatNumber
    highlight: str | None


class BatchResponse(msgspec.Struct, frozen=True):
    """The numbers of the messages of a batch."""

    first: int
    last: int


class DeletedResponse(msgspec.Struct, frozen=True):
    """The number of what was deleted, and the revision of the deletion."""

    number: int
    revision: Revision


class HealthResponse(msgspec.Struct, frozen=True):
    """The API responds."""

    status: str


PartState = Literal["ok", "unavailable", "unknown"]


class ReadinessResponse(msgspec.Struct, frozen=True):
    """The state of each service that the API needs. `status` sums them up.

    A service is unknown if others hang, so that it was not checked in time.
    """

    status: str
    parts: dict[str, PartState]


class ReadMarkerResponse(msgspec.Struct, frozen=True):
    """How far a user has read a chat, and how many messages above that number are not deleted."""

    chat: ChatNumber
    number: int
    unread: int
    last_message_number: int


class UserReadMarkerResponse(ReadMarkerResponse, frozen=True):
    """A read marker with the name of its user."""

    user: str


class ListResponse[T](msgspec.Struct, frozen=True):
    """A page of a list."""

    items: list[T]
    next: str | None


class SearchResponse(msgspec.Struct, frozen=True):
    """A page of the messages that a search found. `total` counts the hits of all pages."""

    items: list[SearchHitResponse]
    total: int
    next: str | None


def application_response(application: Application) -> ApplicationResponse:
    return msgspec.convert(application, ApplicationResponse, from_attributes=True)


def new_application_response(application: Application, secret_key: str) -> NewApplicationResponse:
    shown = application_response(application)
    return NewApplicationResponse(**msgspec.structs.asdict(shown), secret_key=secret_key)


# Plain keywords: `msgspec.convert` takes four times as long for a message (0.8 instead of 0.2 µs), and a
# page has a hundred.


def chat_response(row: ChatRow) -> ChatResponse:
    chat = row.chat
    return ChatResponse(
        number=chat.number,
        title=chat.title,
        metadata=chat.metadata,
        messages_count=row.messages_count,
        last_message_number=row.last_message_number,
        revision=chat.revision,
        created_at=chat.created_at,
        edited_at=chat.edited_at,
    )


def chat_detail_response(row: ChatRow, skipped: list[NumberRange]) -> ChatDetailResponse:
    return ChatDetailResponse(**msgspec.structs.asdict(chat_response(row)), skipped=skipped)


def message_response(message: Message) -> MessageResponse:
    return MessageResponse(
        number=message.number,
        body=message.body,
        sender=message.sender,
        metadata=message.metadata,
        revision=message.revision,
        created_at=message.created_at,
        edited_at=message.edited_at,
    )


def change_response(change: Change) -> ChangeResponse:
    message = change.message
    shown = None if change.type == "deleted" else message_response(message)
    return ChangeResponse(
        type=change.type, number=message.number, revision=message.revision, message=shown
    )


def search_hit_response(hit: SearchHit) -> SearchHitResponse:
    message = msgspec.structs.asdict(message_response(hit.message))
    return SearchHitResponse(**message, chat=hit.chat, highlight=hit.highlight)


def read_marker_response(unread: UnreadCount) -> ReadMarkerResponse:
    return ReadMarkerResponse(
        chat=unread.chat,
        number=unread.number,
        unread=unread.unread,
        last_message_number=unread.last,
    )


def user_read_marker_response(user: str, unread: UnreadCount) -> UserReadMarkerResponse:
    marker = msgspec.structs.asdict(read_marker_response(unread))
    return UserReadMarkerResponse(**marker, user=user)


def application_path(token: AppToken) -> str:
    return f"/applications/{token}"


def chat_path(token: AppToken, chat: ChatNumber) -> str:
    return f"{application_path(token)}/chats/{chat}"


def message_path(token: AppToken, chat: ChatNumber, number: MessageNumber) -> str:
    return f"{chat_path(token, chat)}/messages/{number}"


def next_page(request: Request, page: PageRequest, listed: Page[Any, Any]) -> str | None:
    """The path of the page after this one of a list by number; None after the last page."""
    if listed.next_cursor is None:
        return None
    return next_path(request, "after" if page.ascending else "before", listed.next_cursor)


def next_path(request: Request, name: str, value: str | int) -> str:
    """The path of this request, with another value of one query parameter."""
    return f"{request.path}?{urlencode({**request.query_params, name: value})}"
