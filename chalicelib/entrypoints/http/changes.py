"""The door of the changes of a chat's messages."""

from chalice import Blueprint, Response

from chalicelib.domain.changes import parse_since
from chalicelib.domain.errors import GoneError
from chalicelib.entrypoints.http.call import Call
from chalicelib.entrypoints.http.door import answer, door
from chalicelib.entrypoints.http.queries import ChangesQuery
from chalicelib.entrypoints.http.views import ChangesView, change_view
from chalicelib.usecases.list_changes import list_changes as find_changes

changes = Blueprint(__name__)


@door(
    changes,
    "GET",
    "/applications/{token}/chats/{chat}/changes",
    "read",
    {200: ChangesView},
    (GoneError,),
)
def list_changes(call: Call, chat: int, query: ChangesQuery) -> Response:
    """List what has changed in a chat: which messages were created, edited or deleted.

    Each changed message comes once, in its newest state, in the order in which the states were stored.
    Ask with the `since` of the last answer to get exactly what came after it. What was accepted comes
    as soon as it is stored, mostly within a second or two; its own writer reads it at once elsewhere.
    """
    found = find_changes(call.world, call.tenant, chat, parse_since(query.since), query.limit)
    since = str(found.since)
    next_url = call.next_url(since=since) if found.more else None
    return answer(200, ChangesView([change_view(c) for c in found.items], since, next_url))
