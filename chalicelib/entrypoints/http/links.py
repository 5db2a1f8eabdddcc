"""The paths in responses: of what a request created, and of the next page."""

from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.models import AppToken, ChatNumber, MessageNumber
from chalicelib.domain.paging import Page, PageRequest
from chalicelib.entrypoints.http.request import Request


def application_path(token: AppToken) -> str:
    return f"/applications/{token}"


def chat_path(token: AppToken, chat: ChatNumber) -> str:
    return f"{application_path(token)}/chats/{chat}"


def message_path(token: AppToken, chat: ChatNumber, number: MessageNumber) -> str:
    return f"{chat_path(token, chat)}/messages/{number}"


def next_page(request: Request, page: PageRequest, listed: Page[Any, Any]) -> str | None:
    """The path of the page after this one of a list by number; None after the last page."""
    if listed.next_cursor is None:
        return None
    return next_path(request, "after" if page.ascending else "before", listed.next_cursor)


def next_path(request: Request, name: str, value: str | int) -> str:
    """The path of this request, with another value of one query parameter."""
    return f"{request.path}?{urlencode({**request.query_params, name: value})}"
