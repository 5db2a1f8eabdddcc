"""Doors of chats."""

from chalice import Blueprint, Response
from msgspec.structs import replace

from chalicelib.domain.errors import BackpressureError, GoneError
from chalicelib.domain.models import ChatRow
from chalicelib.domain.requests import ChatChange, ChatRequest
from chalicelib.entrypoints.http.endpoint import answer, door, etag
from chalicelib.entrypoints.http.request import Call
from chalicelib.entrypoints.http.schemas import (
    ChatView,
    DeletedView,
    ListView,
    OneChatView,
    PageQuery,
    chat_view,
    one_chat_view,
)
from chalicelib.usecases import accept, edit, read

blueprint = Blueprint(__name__)

_ALL = "/applications/{token}/chats"
_ONE = _ALL + "/{chat}"


@door(
    blueprint,
    "POST",
    _ALL,
    "key",
    {202: OneChatView},
    (BackpressureError,),
    idempotent=True,
    etag=True,
)
def create_chat(call: Call, token: str, body: ChatRequest) -> Response:
    """Create a chat.

    It has its number at once, and messages can be posted to it at once.
    """
    idempotency = call.idempotency()
    draft = body.draft(call.now, idempotency.key if idempotency else None)
    accepted = accept.create_chat(call.ports, call.tenant, draft, idempotency)
    call.accepted(accepted)
    chat = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        created_at=accepted.created_at,
    )
    row = ChatRow(chat=chat, messages_count=0, last_message_number=0)
    location = {"Location": f"/applications/{token}/chats/{chat.number}"}
    return answer(202, one_chat_view(row, []), location | etag(chat.revision))


@door(blueprint, "GET", _ALL, "read", {200: ListView[ChatView]})
def list_chats(call: Call, query: PageQuery) -> Response:
    """List the chats of an application by number."""
    page = query.page()
    listed = read.list_chats(call.ports, call.tenant, page)
    return answer(200, ListView([chat_view(r) for r in listed.items], call.after(page, listed)))


@door(blueprint, "GET", _ONE, "read", {200: OneChatView}, (GoneError,), etag=True)
def get_chat(call: Call, chat: int) -> Response:
    """Read a chat, with its counts and the message numbers that were skipped."""
    row, skipped = read.get_chat(call.ports, call.tenant, chat)
    return answer(200, one_chat_view(row, skipped), etag(row.chat.revision))


@door(
    blueprint,
    "PATCH",
    _ONE,
    "key",
    {202: ChatView},
    (GoneError, BackpressureError),
    idempotent=True,
    if_match=True,
    etag=True,
)
def edit_chat(call: Call, chat: int, body: ChatChange) -> Response:
    """Change what is given of a chat; null removes it."""
    changed = edit.edit_chat(
        call.ports,
        call.tenant,
        chat,
        lambda c: body.apply(c, call.now),
        call.if_match(),
        call.idempotency(),
    )
    row = changed.state
    call.changed(row.chat, changed.replayed)
    return answer(202, chat_view(row), etag(row.chat.revision))


@door(
    blueprint,
    "DELETE",
    _ONE,
    "key",
    {202: DeletedView},
    (GoneError, BackpressureError),
    idempotent=True,
    if_match=True,
)
def delete_chat(call: Call, chat: int) -> Response:
    """Delete a chat with its messages. Its number stays taken."""

    changed = edit.delete_chat(call.ports, call.tenant, chat, call.if_match(), call.idempotency())
    state = changed.state.chat
    call.changed(state, changed.replayed)
    return answer(202, DeletedView(chat, state.revision))
