"""Doors of the search: inside one chat, and across an application."""

from chalice import Blueprint, Response

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.query_text import parse_query
from chalicelib.domain.search import Query, SortOrder
from chalicelib.domain.times import parse_time
from chalicelib.entrypoints.http.call import Call, page_limit, path_number
from chalicelib.entrypoints.http.door import answer, door
from chalicelib.entrypoints.http.views import FoundView, hit_view
from chalicelib.usecases.search_messages import search_messages

search = Blueprint(__name__)

_ORDERS: dict[str, SortOrder] = {"relevance": "relevance", "number": "number"}


@door(search, "GET", "/applications/{token}/search")
def search_application(call: Call, token: str) -> Response:
    return _search(call, token, None)


@door(search, "GET", "/applications/{token}/chats/{chat}/messages/search")
def search_chat(call: Call, token: str, chat: str) -> Response:
    return _search(call, token, path_number(chat))


def _search(call: Call, token: str, chat: int | None) -> Response:
    tenant = call.tenant(token)
    found = search_messages(call.world, tenant, _query(call, token, chat))
    return answer(
        200,
        FoundView(
            [hit_view(h.chat, h.message, h.highlight) for h in found.hits],
            found.total,
            call.next_url(cursor=found.cursor) if found.cursor else None,
        ),
    )


def _query(call: Call, token: str, chat: int | None) -> Query:
    given = call.query("q", "sender", "from", "to", "sort", "limit", "cursor")
    sort = given.get("sort", "relevance")
    if sort not in _ORDERS:
        raise InvalidError("sort", f"must be one of {', '.join(_ORDERS)}")
    return Query(
        token=token,
        chat=chat,
        terms=parse_query(given.get("q", "")),
        sender=given.get("sender"),
        created_from=parse_time("from", given["from"]) if "from" in given else None,
        created_to=parse_time("to", given["to"]) if "to" in given else None,
        sort=_ORDERS[sort],
        limit=page_limit(given),
        cursor=given.get("cursor"),
    )
