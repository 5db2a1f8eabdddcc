"""What can be asked of the search, and what comes back."""

from typing import Literal

import msgspec

from chalicelib.domain.records import Message

SortOrder = Literal["relevance", "number"]


class Term(msgspec.Struct, frozen=True):
    """A part of a word, or, where `phrase` is true, words that follow each other."""

    text: str
    phrase: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search in an application, or in one of its chats. All terms must be found, in any order.

    `created_from` is inclusive, `created_to` exclusive. `cursor` comes from an earlier `Found`.
    """

    token: str
    chat: int | None
    terms: tuple[Term, ...]
    sender: str | None = None
    created_from: str | None = None
    created_to: str | None = None
    sort: SortOrder = "relevance"
    limit: int
    cursor: str | None = None


class Hit(msgspec.Struct, frozen=True):
    """A message that was found; `highlight` is HTML-escaped text with `<em>` around what matched."""

    chat: int
    message: Message
    highlight: str | None


class Found(msgspec.Struct, frozen=True):
    """One page of hits, how many there are in all, and where the next page begins."""

    hits: tuple[Hit, ...]
    total: int
    cursor: str | None
