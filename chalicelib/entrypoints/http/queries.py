"""The parameters that lists and searches take."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.limits import (
    DEFAULT_PAGE_ITEMS,
    MAX_NUMBER,
    MAX_PAGE_ITEMS,
    MAX_QUERY_CHARS,
    MAX_SENDER_CHARS,
)
from chalicelib.domain.numbering import Page

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="How many items at most.")]
Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


class _Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query parameters, no others than these."""


class NoQuery(_Query, frozen=True):
    """No parameters."""


class PageQuery(_Query, frozen=True, kw_only=True):
    """A page of a list by number: newest first, unless `after` is given."""

    before: (
        Annotated[Number, Meta(description="Only numbers below this one, newest first.")]
        | UnsetType
    ) = UNSET
    after: (
        Annotated[
            int, Meta(ge=0, le=MAX_NUMBER, description="Only numbers above this one, oldest first.")
        ]
        | UnsetType
    ) = UNSET
    limit: Limit = DEFAULT_PAGE_ITEMS

    def page(self) -> Page:
        """The same, as the use cases take it."""
        return Page(limit=self.limit, before=self.before or None, after=_or_none(self.after))


class ApplicationsQuery(_Query, frozen=True, kw_only=True):
    """A page of the applications, newest first."""

    before: (
        Annotated[str, Meta(description="Only applications that were created before this token's.")]
        | UnsetType
    ) = UNSET
    limit: Limit = DEFAULT_PAGE_ITEMS


class SearchQuery(_Query, frozen=True, kw_only=True):
    """What to look for in messages, and which page of what is found."""

    q: Annotated[
        str,
        Meta(
            max_length=MAX_QUERY_CHARS,
            description='Words or parts of words, all of which must be there; `"…"` is a phrase.',
            examples=["kernel panic"],
        ),
    ]
    sender: Annotated[str, Meta(max_length=MAX_SENDER_CHARS)] | UnsetType = UNSET
    from_: (
        Annotated[str, Meta(description="Messages created at this time or later.")] | UnsetType
    ) = msgspec.field(name="from", default=UNSET)
    to: Annotated[str, Meta(description="Messages created before this time.")] | UnsetType = UNSET
    sort: Literal["relevance", "number"] = "relevance"
    limit: Limit = DEFAULT_PAGE_ITEMS
    cursor: Annotated[str, Meta(description="Opaque: from `next`.")] | UnsetType = UNSET


def _or_none(value: int | UnsetType) -> int | None:
    return None if value is UNSET else value
