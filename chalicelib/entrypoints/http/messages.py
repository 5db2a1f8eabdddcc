"""Doors of messages."""

from chalice import Blueprint, Response
from msgspec.structs import replace

from chalicelib.domain.records import Message
from chalicelib.domain.requests import BatchRequest, MessageChange, MessageRequest
from chalicelib.entrypoints.http.call import Call, path_number
from chalicelib.entrypoints.http.door import answer, door
from chalicelib.entrypoints.http.views import BatchView, ListView, message_view
from chalicelib.usecases.accept_edit import edit_message
from chalicelib.usecases.accept_messages import accept_messages
from chalicelib.usecases.current import current_message
from chalicelib.usecases.list_messages import list_messages

messages = Blueprint(__name__)

_LIST = "/applications/{token}/chats/{chat}/messages"
_ONE = _LIST + "/{number}"


@door(messages, "POST", _LIST)
def create_message(call: Call, token: str, chat: str) -> Response:
    tenant, into, mark = call.tenant(token), path_number(chat), call.mark()
    draft = call.body(MessageRequest).draft(call.now, mark.key if mark else None)
    accepted = accept_messages(call.world, tenant, into, [draft], mark)
    call.accepted(accepted)
    message = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        created_at=accepted.created_at,
    )
    location = f"/applications/{token}/chats/{into}/messages/{message.number}"
    return answer(202, message_view(message), {"Location": location})


@door(messages, "POST", _LIST + "/batch")
def create_messages(call: Call, token: str, chat: str) -> Response:
    tenant, into, mark = call.tenant(token), path_number(chat), call.mark()
    key = mark.key if mark else None
    drafts = [m.draft(call.now, key) for m in call.body(BatchRequest).messages]
    accepted = accept_messages(call.world, tenant, into, drafts, mark)
    call.accepted(accepted)
    return answer(202, BatchView(accepted.first, accepted.last))


@door(messages, "GET", _LIST)
def get_messages(call: Call, token: str, chat: str) -> Response:
    tenant, page = call.tenant(token), call.page()
    listed = list_messages(call.world, tenant, path_number(chat), page)
    return answer(200, ListView([message_view(m) for m in listed.items], call.after(page, listed)))


@door(messages, "GET", _ONE)
def get_message(call: Call, token: str, chat: str, number: str) -> Response:
    current = current_message(
        call.world, call.tenant(token), path_number(chat), path_number(number)
    )
    return answer(200, message_view(current.state), {"ETag": f'"{current.state.revision}"'})


@door(messages, "PATCH", _ONE)
def change_message(call: Call, token: str, chat: str, number: str) -> Response:
    tenant, request = call.tenant(token), call.body(MessageChange)
    message = edit_message(
        call.world,
        tenant,
        path_number(chat),
        path_number(number),
        lambda m: request.apply(m, call.now),
        call.if_match(),
    )
    call.changed(message)
    return answer(202, message_view(message), {"ETag": f'"{message.revision}"'})


@door(messages, "DELETE", _ONE)
def delete_message(call: Call, token: str, chat: str, number: str) -> Response:
    def deleted(state: Message) -> Message:
        return replace(state, body="", sender=None, metadata=None, deleted_at=call.now)

    message = edit_message(
        call.world,
        call.tenant(token),
        path_number(chat),
        path_number(number),
        deleted,
        call.if_match(),
    )
    call.changed(message)
    return answer(202, {"number": message.number, "revision": message.revision})
