"""Endpoints of the search: in all chats of an application, or in one."""

from chalice import Blueprint
from msgspec import UNSET, UnsetType

from chalicelib.domain.errors import GoneError
from chalicelib.domain.models import ChatNumber
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.search import Query, SearchPage, parse_query
from chalicelib.domain.times import parse_time
from chalicelib.entrypoints.http.endpoint import ReadReply, RequestContext, endpoint
from chalicelib.entrypoints.http.schemas import (
    SearchQuery,
    SearchResponse,
    next_path,
    search_hit_response,
    unset_to_none,
)
from chalicelib.usecases import search

blueprint = Blueprint(__name__)

_IN_CHAT = "/applications/{token}/chats/{chat}/messages/search"


@endpoint(blueprint, "GET", "/applications/{token}/search", "read", {200: SearchResponse})
def search_messages(context: RequestContext, query: SearchQuery) -> ReadReply:
    """Search the messages of all chats of an application.

    A new message is found after a second or two.
    """
    result = search.search_messages(context.ports, context.tenant, _query(context, query))
    return _reply(context, result)


@endpoint(blueprint, "GET", _IN_CHAT, "read", {200: SearchResponse}, (GoneError,))
def search_chat_messages(
    context: RequestContext, chat: ChatNumber, query: SearchQuery
) -> ReadReply:
    """Search the messages of one chat.

    A new message is found after a second or two.
    """
    result = search.search_chat_messages(
        context.ports, context.tenant, chat, _query(context, query)
    )
    return _reply(context, result)


def _query(context: RequestContext, query: SearchQuery) -> Query:
    return Query(
        token=context.tenant.token,
        terms=parse_query(query.q),
        sender=unset_to_none(query.sender),
        created_from=_time("from", query.from_),
        created_to=_time("to", query.to),
        sort=query.sort,
        limit=query.limit,
        cursor=unset_to_none(query.cursor),
    )


def _time(name: str, text: str | UnsetType) -> str | None:
    return None if text is UNSET else parse_time(name, text)


def _reply(context: RequestContext, result: Result[SearchPage]) -> ReadReply:
    page = result.value
    response = SearchResponse(
        items=[search_hit_response(hit) for hit in page.hits],
        total=page.total,
        next=next_path(context.request, "cursor", page.cursor) if page.cursor else None,
    )
    return ReadReply(response, result)
