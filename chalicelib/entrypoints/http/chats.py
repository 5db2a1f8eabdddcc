"""Doors of chats."""

from chalice import Blueprint, Response
from msgspec.structs import replace

from chalicelib.domain.records import Chat, ChatRow
from chalicelib.domain.requests import ChatChange, ChatRequest
from chalicelib.entrypoints.http.call import Call, path_number
from chalicelib.entrypoints.http.door import answer, door
from chalicelib.entrypoints.http.views import ListView, chat_view, one_chat_view
from chalicelib.usecases.accept_chat import accept_chat
from chalicelib.usecases.accept_edit import edit_chat
from chalicelib.usecases.get_chat import get_chat
from chalicelib.usecases.list_chats import list_chats

chats = Blueprint(__name__)


@door(chats, "POST", "/applications/{token}/chats")
def create_chat(call: Call, token: str) -> Response:
    tenant, mark = call.tenant(token), call.mark()
    draft = call.body(ChatRequest).draft(call.now, mark.key if mark else None)
    accepted = accept_chat(call.world, tenant, draft, mark)
    call.accepted(accepted)
    chat = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        created_at=accepted.created_at,
    )
    row = ChatRow(chat=chat, messages_count=0, last_message_number=0)
    return answer(
        202,
        one_chat_view(row, []),
        {"Location": f"/applications/{token}/chats/{chat.number}"},
    )


@door(chats, "GET", "/applications/{token}/chats")
def get_chats(call: Call, token: str) -> Response:
    tenant, page = call.tenant(token), call.page()
    listed = list_chats(call.world, tenant, page)
    return answer(200, ListView([chat_view(r) for r in listed.items], call.after(page, listed)))


@door(chats, "GET", "/applications/{token}/chats/{number}")
def get_one_chat(call: Call, token: str, number: str) -> Response:
    row, skipped = get_chat(call.world, call.tenant(token), path_number(number))
    return answer(200, one_chat_view(row, skipped), {"ETag": f'"{row.chat.revision}"'})


@door(chats, "PATCH", "/applications/{token}/chats/{number}")
def change_chat(call: Call, token: str, number: str) -> Response:
    tenant, chat, seen = call.tenant(token), path_number(number), call.if_match()
    request = call.body(ChatChange)
    row = edit_chat(call.world, tenant, chat, lambda c: request.apply(c, call.now), seen)
    call.changed(row.chat)
    return answer(202, chat_view(row), {"ETag": f'"{row.chat.revision}"'})


@door(chats, "DELETE", "/applications/{token}/chats/{number}")
def delete_chat(call: Call, token: str, number: str) -> Response:
    tenant, chat, seen = call.tenant(token), path_number(number), call.if_match()

    def deleted(state: Chat) -> Chat:
        return replace(state, title=None, metadata=None, deleted_at=call.now)

    row = edit_chat(call.world, tenant, chat, deleted, seen)
    call.changed(row.chat)
    return answer(202, {"number": chat, "revision": row.chat.revision})
