"""Search queries, their terms, pages of hits, and cursors.

`q` is split at white space, and quotes make a phrase. A message is a hit if each term matches, in any
order.

- A **plain term** matches if it occurs anywhere in the body, without regard to case and accents
  (`domain/text.py`): one letter, a part of a word, punctuation (`c++`, `apt-get`, `(builtin`).
- A **phrase** (`"permission denied"`) matches if its whole words follow each other, with any punctuation
  between them. Its own punctuation counts too: each part between white space must match as a plain term does.
  So `"cat"` matches the word, but not `category`.
- There is no other syntax. `* ? : ( ) { } \\ AND OR` are text. So is a quote without a partner or in a word.

A cursor is opaque to clients, and never trusted. It contains the sort values of the last hit. Token, chat and
filters come from each request, so a foreign cursor can skip hits, but not show more.
"""

import base64
import binascii
import re
from typing import Literal

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.limits import (
    MAX_NUMBER,
    MAX_QUERY_CHARS,
    SEARCH_COST_OF_APPLICATION,
    SEARCH_COST_OF_CHAT,
)
from chalicelib.domain.models import AppToken, ChatNumber, Message
from chalicelib.domain.text import fold, to_nfc

SortOrder = Literal["relevance", "number"]


class Term(msgspec.Struct, frozen=True):
    """A part of a word. If `phrase` is true, words that follow each other."""

    text: str
    phrase: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search in an application, or in one of its chats. Each term must match, in any order.

    `created_from` is inclusive, `created_to` exclusive. `cursor` is the one of an earlier `SearchPage`.
    """

    token: AppToken
    chat: ChatNumber | None = None
    terms: tuple[Term, ...]
    sender: str | None = None
    created_from: str | None = None
    created_to: str | None = None
    sort: SortOrder = "relevance"
    limit: int
    cursor: str | None = None


class SearchHit(msgspec.Struct, frozen=True):
    """A message that matches. `highlight` is HTML-escaped text with `<em>` around each match.

    It is None if the highlights of the hits before it used up the CPU time of the response.
    """

    chat: ChatNumber
    message: Message
    highlight: str | None


class SearchPage(msgspec.Struct, frozen=True):
    """One page of hits, the number of all hits, and the cursor of the next page (None: there is none)."""

    hits: tuple[SearchHit, ...]
    total: int
    cursor: str | None


def cost_of(query: Query) -> int:
    """What a search takes from the rate limits. A read takes one.

    OpenSearch returns each hit of a page with its whole body, also those that do not fit into the response.
    """
    cost = SEARCH_COST_OF_APPLICATION if query.chat is None else SEARCH_COST_OF_CHAT
    return cost + len(query.terms) + query.limit // 10


MAX_TERMS = 20
MAX_TERM_CHARS = 255

_TERM = re.compile(r'"(?P<phrase>[^"]*)"|(?P<part>\S+)')
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_query(q: str) -> tuple[Term, ...]:
    """The terms of `q`, each once. Raises `InvalidError` if `q` has none, or breaks a limit."""
    if len(q) > MAX_QUERY_CHARS:
        raise InvalidError("q", f"must have at most {MAX_QUERY_CHARS} characters")
    if _SURROGATE.search(q):
        raise InvalidError("q", "must be valid Unicode")
    terms = tuple(dict.fromkeys(term for match in _TERM.finditer(q) if (term := _term(match))))
    if not terms:
        raise InvalidError("q", "must contain something to search for")
    if len(terms) > MAX_TERMS:
        raise InvalidError("q", f"must have at most {MAX_TERMS} terms")
    if any(len(term.text) > MAX_TERM_CHARS for term in terms):
        raise InvalidError("q", f"must have at most {MAX_TERM_CHARS} characters in a term")
    return terms


def _term(match: re.Match[str]) -> Term | None:
    """None for a phrase without content, and for accents without a letter."""
    phrase: str | None = match["phrase"]
    text = to_nfc(match["part"] if phrase is None else " ".join(phrase.split()))
    return Term(text, phrase=phrase is not None) if fold(text) else None


# relevance: score, created_at in ms, chat, number. number: chat, number.
_LENGTHS: dict[SortOrder, int] = {"relevance": 4, "number": 2}
SortValues = tuple[int, ...]


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sort: SortOrder
    values: SortValues


def encode_cursor(sort: SortOrder, values: SortValues) -> str:
    """The cursor, as text that is safe in a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(sort, values))).decode().rstrip("=")


def decode_cursor(cursor: str, sort: SortOrder) -> SortValues:
    """The sort values of a cursor. Raises `InvalidError` if it is damaged or has another sort order."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=_Cursor)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError) as broken:
        raise InvalidError("cursor", "must be a cursor of this search") from broken
    if decoded.sort != sort:
        raise InvalidError("cursor", f"belongs to a search that is sorted by {decoded.sort}")
    if len(decoded.values) != _LENGTHS[sort] or any(abs(v) > MAX_NUMBER for v in decoded.values):
        raise InvalidError("cursor", "must be a cursor of this search")
    return decoded.values
