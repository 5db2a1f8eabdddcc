"""Endpoints of read markers: how far a user has read, and how many messages are unread."""

from chalice import Blueprint

from chalicelib.domain.errors import GoneError
from chalicelib.domain.models import ChatNumber, UserName
from chalicelib.domain.requests import MarkerRequest
from chalicelib.entrypoints.http.endpoint import ReadReply, RequestContext, endpoint
from chalicelib.entrypoints.http.schemas import (
    ListResponse,
    PageQuery,
    ReadMarkerResponse,
    UserReadMarkerResponse,
    next_page,
    read_marker_response,
    user_read_marker_response,
)
from chalicelib.usecases import read_markers

blueprint = Blueprint(__name__)

_IN_CHAT = "/applications/{token}/chats/{chat}/readers/{user}"
_OF_USER = "/applications/{token}/readers/{user}"


@endpoint(blueprint, "PUT", _IN_CHAT, "read", {200: UserReadMarkerResponse}, (GoneError,))
def mark_read(
    context: RequestContext, chat: ChatNumber, user: UserName, body: MarkerRequest
) -> ReadReply:
    """Move a user's read marker up to a message.

    The marker never moves back, and not above the last message. Messages above it that are not deleted are
    unread. It is safe to send the request again.
    """
    result = read_markers.mark_read(context.ports, context.tenant, user, chat, body.number)
    return ReadReply(user_read_marker_response(user, result.value), result)


@endpoint(blueprint, "GET", _IN_CHAT, "read", {200: UserReadMarkerResponse}, (GoneError,))
def get_read_marker(context: RequestContext, chat: ChatNumber, user: UserName) -> ReadReply:
    """Read how far a user has read a chat, and how many messages are unread.

    The number is 0 if the user has no marker.
    """
    result = read_markers.get_read_marker(context.ports, context.tenant, user, chat)
    return ReadReply(user_read_marker_response(user, result.value), result)


@endpoint(blueprint, "GET", _OF_USER, "read", {200: ListResponse[ReadMarkerResponse]})
def list_read_markers(context: RequestContext, user: UserName, query: PageQuery) -> ReadReply:
    """List the chats in which a user has a read marker, and how many messages are unread in each.

    The list is ordered by the numbers of the chats. A page may have fewer items than `limit` although a
    next page exists.
    """
    page = query.page()
    result = read_markers.list_read_markers(context.ports, context.tenant, user, page)
    items = [read_marker_response(unread) for unread in result.value.items]
    next_url = next_page(context.request, page, result.value)
    return ReadReply(ListResponse(items, next_url), result)
