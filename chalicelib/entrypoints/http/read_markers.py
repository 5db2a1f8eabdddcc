"""Doors of readers: how far a user has read, and how much is left."""

from chalice import Blueprint, Response

from chalicelib.domain.errors import GoneError
from chalicelib.domain.requests import MarkerRequest
from chalicelib.entrypoints.http.endpoint import answer, door
from chalicelib.entrypoints.http.request import Call, UserName
from chalicelib.entrypoints.http.schemas import (
    ChatReadingView,
    ListView,
    PageQuery,
    ReadingView,
    chat_reading_view,
    reading_view,
)
from chalicelib.usecases import read_markers

blueprint = Blueprint(__name__)

_OF_CHAT = "/applications/{token}/chats/{chat}/readers/{user}"
_OF_USER = "/applications/{token}/readers/{user}"


@door(blueprint, "PUT", _OF_CHAT, "read", {200: ReadingView}, (GoneError,))
def mark_read(call: Call, chat: int, user: UserName, body: MarkerRequest) -> Response:
    """Say up to which message a user has read a chat.

    The marker never moves back, and not above the last message. Messages above it that are not deleted
    are unread. The request may be sent again without harm.
    """
    return answer(
        200,
        reading_view(
            user, read_markers.mark_read(call.ports, call.tenant, user, chat, body.number)
        ),
    )


@door(blueprint, "GET", _OF_CHAT, "read", {200: ReadingView}, (GoneError,))
def get_read_marker(call: Call, chat: int, user: UserName) -> Response:
    """Read how far a user has read a chat, and how many messages are unread.

    The number is 0 where it was never set.
    """
    return answer(
        200, reading_view(user, read_markers.get_read_marker(call.ports, call.tenant, user, chat))
    )


@door(blueprint, "GET", _OF_USER, "read", {200: ListView[ChatReadingView]})
def list_read_markers(call: Call, user: UserName, query: PageQuery) -> Response:
    """List the chats in which a user has a read marker, with how many messages are unread.

    By the numbers of the chats. A page may hold fewer than it could although there is a next one.
    """
    page = query.page()
    listed = read_markers.list_read_markers(call.ports, call.tenant, user, page)
    items = [chat_reading_view(reading) for reading in listed.items]
    return answer(200, ListView(items, call.after(page, listed)))
