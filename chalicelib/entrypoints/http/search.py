"""Doors of the search: inside one chat, and across an application."""

from chalice import Blueprint, Response
from msgspec import UNSET, UnsetType

from chalicelib.domain.errors import GoneError
from chalicelib.domain.search import Query, SearchPage, parse_query
from chalicelib.domain.times import parse_time
from chalicelib.entrypoints.http.endpoint import answer, door
from chalicelib.entrypoints.http.request import Call
from chalicelib.entrypoints.http.schemas import FoundView, SearchQuery, hit_view, or_none
from chalicelib.usecases import search

blueprint = Blueprint(__name__)


@door(blueprint, "GET", "/applications/{token}/search", "read", {200: FoundView})
def search_messages(call: Call, query: SearchQuery) -> Response:
    """Search the messages of all chats of an application.

    What was posted is found a second or two later.
    """
    found = search.search_messages(call.ports, call.tenant, _query(call, query))
    return _page(call, found)


@door(
    blueprint,
    "GET",
    "/applications/{token}/chats/{chat}/messages/search",
    "read",
    {200: FoundView},
    (GoneError,),
)
def search_chat_messages(call: Call, chat: int, query: SearchQuery) -> Response:
    """Search the messages of one chat.

    What was posted is found a second or two later.
    """
    found = search.search_chat_messages(call.ports, call.tenant, chat, _query(call, query))
    return _page(call, found)


def _query(call: Call, given: SearchQuery) -> Query:
    return Query(
        token=call.tenant.token,
        terms=parse_query(given.q),
        sender=or_none(given.sender),
        created_from=_time("from", given.from_),
        created_to=_time("to", given.to),
        sort=given.sort,
        limit=given.limit,
        cursor=or_none(given.cursor),
    )


def _page(call: Call, found: SearchPage) -> Response:
    hits = [hit_view(h.chat, h.message, h.highlight) for h in found.hits]
    next_url = call.next_url(cursor=found.cursor) if found.cursor else None
    return answer(200, FoundView(hits, found.total, next_url))


def _time(name: str, given: str | UnsetType) -> str | None:
    return None if given is UNSET else parse_time(name, given)
