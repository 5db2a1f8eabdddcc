"""Endpoints of messages and their changes."""

from chalice import Blueprint, Response
from msgspec.structs import replace

from chalicelib.domain.change_feed import parse_since
from chalicelib.domain.errors import BackpressureError, GoneError
from chalicelib.domain.requests import BatchRequest, MessageChange, MessageRequest
from chalicelib.entrypoints.http.endpoint import answer, door, etag
from chalicelib.entrypoints.http.request import Call
from chalicelib.entrypoints.http.schemas import (
    BatchView,
    ChangesQuery,
    ChangesView,
    DeletedView,
    ListView,
    MessageView,
    PageQuery,
    change_view,
    message_view,
)
from chalicelib.usecases import accept, edit, read

# Doors of messages.

blueprint = Blueprint(__name__)

_ALL = "/applications/{token}/chats/{chat}/messages"
_ONE = _ALL + "/{number}"
_WRITING = (GoneError, BackpressureError)


@door(blueprint, "POST", _ALL, "write", {202: MessageView}, _WRITING, idempotent=True, etag=True)
def create_message(call: Call, token: str, chat: int, body: MessageRequest) -> Response:
    """Post a message.

    202 means that it is kept under the number in the answer, and that its writer can read it at once.
    """
    idempotency = call.idempotency()
    draft = body.draft(call.now, idempotency.key if idempotency else None, call.user)
    accepted = accept.create_message(call.ports, call.tenant, chat, draft, idempotency)
    call.accepted(accepted)
    message = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        created_at=accepted.created_at,
    )
    location = {"Location": f"/applications/{token}/chats/{chat}/messages/{message.number}"}
    return answer(202, message_view(message), location | etag(message.revision))


@door(blueprint, "POST", _ALL + "/batch", "write", {202: BatchView}, _WRITING, idempotent=True)
def create_messages(call: Call, chat: int, body: BatchRequest) -> Response:
    """Post messages that get numbers following each other, all of them or none."""
    idempotency = call.idempotency()
    key = idempotency.key if idempotency else None
    drafts = [m.draft(call.now, key, call.user) for m in body.messages]
    accepted = accept.create_messages(call.ports, call.tenant, chat, drafts, idempotency)
    call.accepted(accepted)
    return answer(202, BatchView(accepted.first, accepted.last))


@door(blueprint, "GET", _ALL, "read", {200: ListView[MessageView]}, (GoneError,))
def list_messages(call: Call, chat: int, query: PageQuery) -> Response:
    """List the messages of a chat by number. Deleted ones are left out."""
    page = query.page()
    listed = read.list_messages(call.ports, call.tenant, chat, page)
    return answer(200, ListView([message_view(m) for m in listed.items], call.after(page, listed)))


@door(blueprint, "GET", _ONE, "read", {200: MessageView}, (GoneError,), etag=True)
def get_message(call: Call, chat: int, number: int) -> Response:
    """Read a message."""
    message = read.get_message(call.ports, call.tenant, chat, number)
    return answer(200, message_view(message), etag(message.revision))


@door(
    blueprint,
    "PATCH",
    _ONE,
    "write",
    {202: MessageView},
    _WRITING,
    idempotent=True,
    if_match=True,
    etag=True,
)
def edit_message(call: Call, chat: int, number: int, body: MessageChange) -> Response:
    """Edit a message: change what is given of it."""
    changed = edit.edit_message(
        call.ports,
        call.tenant,
        chat,
        number,
        lambda m: body.apply(m, call.now),
        call.if_match(),
        call.idempotency(),
    )
    message = changed.state
    call.changed(message, changed.replayed)
    return answer(202, message_view(message), etag(message.revision))


@door(
    blueprint,
    "DELETE",
    _ONE,
    "write",
    {202: DeletedView},
    _WRITING,
    idempotent=True,
    if_match=True,
)
def delete_message(call: Call, chat: int, number: int) -> Response:
    """Delete a message. Its number stays taken."""

    changed = edit.delete_message(
        call.ports, call.tenant, chat, number, call.if_match(), call.idempotency()
    )
    message = changed.state
    call.changed(message, changed.replayed)
    return answer(202, DeletedView(message.number, message.revision))


# The door of the changes of a chat's messages.


@door(
    blueprint,
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
    found = read.list_changes(call.ports, call.tenant, chat, parse_since(query.since), query.limit)
    since = str(found.since)
    next_url = call.next_url(since=since) if found.more else None
    return answer(200, ChangesView([change_view(c) for c in found.items], since, next_url))
