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
from chalicelib.domain.requests import Time

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
        return Page(limit=self.limit, before=or_none(self.before), after=or_none(self.after))


class ApplicationsQuery(_Query, frozen=True, kw_only=True):
    """A page of the applications, newest first."""

    before: (
        Annotated[str, Meta(description="Only applications that were created before this token's.")]
        | UnsetType
    ) = UNSET
    limit: Limit = DEFAULT_PAGE_ITEMS


class ChangesQuery(_Query, frozen=True, kw_only=True):
    """From where the changes of a chat go on."""

    since: Annotated[
        str,
        Meta(
            description="`0` for all, or the `since` of an earlier answer.",
            examples=["0"],
            extra_json_schema={"pattern": r"^(0|[0-9]{1,15}\.[0-9]{1,15})$"},
        ),
    ] = "0"
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
    from_: Annotated[Time, Meta(description="Messages created then or later.")] | UnsetType = (
        msgspec.field(name="from", default=UNSET)
    )
    to: Annotated[Time, Meta(description="Messages created before then.")] | UnsetType = UNSET
    sort: Literal["relevance", "number"] = "relevance"
    limit: Limit = DEFAULT_PAGE_ITEMS
    cursor: Annotated[str, Meta(description="Opaque: from `next`.")] | UnsetType = UNSET


def or_none[T](value: T | UnsetType) -> T | None:
    """None where the parameter was not given."""
    return None if value is UNSET else value
