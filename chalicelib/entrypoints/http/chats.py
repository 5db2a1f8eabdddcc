"""Endpoints of chats."""

from chalice import Blueprint

from chalicelib.domain.errors import BackpressureError, GoneError
from chalicelib.domain.models import AppToken, ChatNumber, ChatRow
from chalicelib.domain.requests import ChatChange, ChatRequest
from chalicelib.entrypoints.http.endpoint import ReadReply, RequestContext, WriteReply, endpoint
from chalicelib.entrypoints.http.schemas import (
    ChatDetailResponse,
    ChatResponse,
    DeletedResponse,
    ListResponse,
    PageQuery,
    chat_detail_response,
    chat_path,
    chat_response,
    next_page,
)
from chalicelib.usecases import accept, edit, read

blueprint = Blueprint(__name__)

_ALL = "/applications/{token}/chats"
_ONE = _ALL + "/{chat}"


@endpoint(
    blueprint,
    "POST",
    _ALL,
    "key",
    {202: ChatDetailResponse},
    (BackpressureError,),
    idempotent=True,
    etag=True,
    location=True,
)
def create_chat(context: RequestContext, token: AppToken, body: ChatRequest) -> WriteReply:
    """Create a chat.

    The response has its number, and messages can be posted to it at once.
    """
    draft = body.draft(context.received_at, context.idempotency_key)
    result = accept.create_chat(context.ports, context.tenant, draft, context.idempotency)
    row = ChatRow(chat=result.value, messages_count=0, last_message_number=0)
    path = chat_path(token, result.value.number)
    return WriteReply(chat_detail_response(row, []), result, path)


@endpoint(blueprint, "GET", _ALL, "read", {200: ListResponse[ChatResponse]})
def list_chats(context: RequestContext, query: PageQuery) -> ReadReply:
    """List the chats of an application by number."""
    page = query.page()
    result = read.list_chats(context.ports, context.tenant, page)
    items = [chat_response(row) for row in result.value.items]
    next_url = next_page(context.request, page, result.value)
    return ReadReply(ListResponse(items, next_url), result)


@endpoint(blueprint, "GET", _ONE, "read", {200: ChatDetailResponse}, (GoneError,), etag=True)
def get_chat(context: RequestContext, chat: ChatNumber) -> ReadReply:
    """Read a chat, with its counts and the message numbers that were skipped."""
    result = read.get_chat(context.ports, context.tenant, chat)
    detail = result.value
    return ReadReply(chat_detail_response(detail.row, detail.skipped), result)


@endpoint(
    blueprint,
    "PATCH",
    _ONE,
    "key",
    {202: ChatResponse},
    (GoneError, BackpressureError),
    idempotent=True,
    if_match=True,
    etag=True,
)
def edit_chat(context: RequestContext, chat: ChatNumber, body: ChatChange) -> WriteReply:
    """Change the fields of a chat that the request names. Null removes a field."""
    result = edit.edit_chat(
        context.ports,
        context.tenant,
        chat,
        lambda version: body.apply(version, context.received_at),
        context.if_match,
        context.idempotency,
    )
    return WriteReply(chat_response(result.value), result)


@endpoint(
    blueprint,
    "DELETE",
    _ONE,
    "key",
    {202: DeletedResponse},
    (GoneError, BackpressureError),
    idempotent=True,
    if_match=True,
)
def delete_chat(context: RequestContext, chat: ChatNumber) -> WriteReply:
    """Delete a chat with its messages. Its number is never used again."""
    result = edit.delete_chat(
        context.ports, context.tenant, chat, context.if_match, context.idempotency
    )
    deleted = result.value.chat
    return WriteReply(DeletedResponse(number=chat, revision=deleted.revision), result)
