"""The paths in responses: of what a request created, and of the next page."""

from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.paging import Page, PageRequest
from chalicelib.entrypoints.http.request import Request


def application_path(token: str) -> str:
    return f"/applications/{token}"


def chat_path(token: str, chat: int) -> str:
    return f"{application_path(token)}/chats/{chat}"


def message_path(token: str, chat: int, number: int) -> str:
    return f"{chat_path(token, chat)}/messages/{number}"


def next_page(request: Request, page: PageRequest, listed: Page[Any, Any]) -> str | None:
    """The path of the page after this one of a list by number; None after the last page."""
    if listed.next_cursor is None:
        return None
    return next_path(request, "after" if page.ascending else "before", listed.next_cursor)


def next_path(request: Request, name: str, value: str | int) -> str:
    """The path of this request, with another value of one query parameter."""
    return f"{request.path}?{urlencode({**request.query_params, name: value})}"
