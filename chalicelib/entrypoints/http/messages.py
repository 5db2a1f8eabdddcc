"""Endpoints of messages, and of the changes of a chat's messages."""

from chalice import Blueprint

from chalicelib.domain.change_feed import parse_since
from chalicelib.domain.errors import BackpressureError, GoneError
from chalicelib.domain.models import AppToken, ChatNumber, MessageNumber
from chalicelib.domain.requests import BatchRequest, MessageChange, MessageRequest
from chalicelib.entrypoints.http.endpoint import ReadReply, RequestContext, WriteReply, endpoint
from chalicelib.entrypoints.http.schemas import (
    BatchResponse,
    ChangesQuery,
    ChangesResponse,
    DeletedResponse,
    ListResponse,
    MessageResponse,
    PageQuery,
    change_response,
    message_path,
    message_response,
    next_page,
    next_path,
)
from chalicelib.usecases import accept, edit, read

blueprint = Blueprint(__name__)

_CHAT = "/applications/{token}/chats/{chat}"
_ALL = _CHAT + "/messages"
_ONE = _ALL + "/{number}"
_WRITE_ERRORS = (GoneError, BackpressureError)


@endpoint(
    blueprint,
    "POST",
    _ALL,
    "write",
    {202: MessageResponse},
    _WRITE_ERRORS,
    idempotent=True,
    etag=True,
    location=True,
)
def create_message(
    context: RequestContext, token: AppToken, chat: ChatNumber, body: MessageRequest
) -> WriteReply:
    """Post a message.

    202 means that the message is accepted under the number in the response. Its sender can read it at once.
    """
    draft = body.draft(context.received_at, context.idempotency_key, context.user)
    result = accept.create_message(context.ports, context.tenant, chat, draft, context.idempotency)
    message = result.value
    return WriteReply(message_response(message), result, message_path(token, chat, message.number))


@endpoint(
    blueprint,
    "POST",
    _ALL + "/batch",
    "write",
    {202: BatchResponse},
    _WRITE_ERRORS,
    idempotent=True,
)
def create_messages(context: RequestContext, chat: ChatNumber, body: BatchRequest) -> WriteReply:
    """Post messages that get consecutive numbers: all of them or none."""
    drafts = [
        message.draft(context.received_at, context.idempotency_key, context.user)
        for message in body.messages
    ]
    result = accept.create_messages(
        context.ports, context.tenant, chat, drafts, context.idempotency
    )
    numbers = result.value
    return WriteReply(BatchResponse(first=numbers.first, last=numbers.last), result)


@endpoint(blueprint, "GET", _ALL, "read", {200: ListResponse[MessageResponse]}, (GoneError,))
def list_messages(context: RequestContext, chat: ChatNumber, query: PageQuery) -> ReadReply:
    """List the messages of a chat by number, without deleted ones."""
    page = query.page()
    result = read.list_messages(context.ports, context.tenant, chat, page)
    items = [message_response(message) for message in result.value.items]
    next_url = next_page(context.request, page, result.value)
    return ReadReply(ListResponse(items, next_url), result)


@endpoint(blueprint, "GET", _ONE, "read", {200: MessageResponse}, (GoneError,), etag=True)
def get_message(context: RequestContext, chat: ChatNumber, number: MessageNumber) -> ReadReply:
    """Read a message."""
    result = read.get_message(context.ports, context.tenant, chat, number)
    return ReadReply(message_response(result.value), result)


@endpoint(
    blueprint,
    "PATCH",
    _ONE,
    "write",
    {202: MessageResponse},
    _WRITE_ERRORS,
    idempotent=True,
    if_match=True,
    etag=True,
)
def edit_message(
    context: RequestContext, chat: ChatNumber, number: MessageNumber, body: MessageChange
) -> WriteReply:
    """Change the fields of a message that the request names.

    A user token cannot change metadata that was written with the secret key.
    """
    result = edit.edit_message(
        context.ports,
        context.tenant,
        chat,
        number,
        lambda version: body.apply(version, context.received_at, context.user),
        context.if_match,
        context.idempotency,
    )
    return WriteReply(message_response(result.value), result)


@endpoint(
    blueprint,
    "DELETE",
    _ONE,
    "write",
    {202: DeletedResponse},
    _WRITE_ERRORS,
    idempotent=True,
    if_match=True,
)
def delete_message(context: RequestContext, chat: ChatNumber, number: MessageNumber) -> WriteReply:
    """Delete a message. Its number is never used again."""
    result = edit.delete_message(
        context.ports, context.tenant, chat, number, context.if_match, context.idempotency
    )
    deleted = result.value
    return WriteReply(DeletedResponse(number=deleted.number, revision=deleted.revision), result)


@endpoint(blueprint, "GET", _CHAT + "/changes", "read", {200: ChangesResponse}, (GoneError,))
def list_changes(context: RequestContext, chat: ChatNumber, query: ChangesQuery) -> ReadReply:
    """List what has changed in a chat: which messages were created, edited or deleted.

    Each changed message is listed once, in its newest version, in the order in which the versions were
    stored. To get exactly what came later, send the `since` of the last response. An accepted version is
    listed as soon as it is stored, usually within two seconds. The sender can read it with the other
    operations at once.
    """
    since = parse_since(query.since)
    result = read.list_changes(context.ports, context.tenant, chat, since, query.limit)
    changes = result.value
    last = str(changes.since)
    response = ChangesResponse(
        items=[change_response(change) for change in changes.items],
        since=last,
        next=next_path(context.request, "since", last) if changes.more else None,
    )
    return ReadReply(response, result)
