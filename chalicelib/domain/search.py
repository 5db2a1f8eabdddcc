"""What can be searched for, what comes back, and where the next page begins."""

import base64
import binascii
import re
from typing import Literal

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.limits import MAX_NUMBER, MAX_QUERY_CHARS
from chalicelib.domain.models import Message
from chalicelib.domain.text import compose, fold

# What can be asked of the search, and what comes back.

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
    chat: int | None = None
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


# What somebody types into the search box, taken apart into terms.
#
# `q` is split at white space; quotes make a phrase. Every term must be found, in any order.
#
# - A **plain term** is found where it occurs, ignoring case and accents (`folding.py`), anywhere in a
#   word of the body: one letter, a middle part, punctuation and all (`c++`, `apt-get`, `(builtin`).
# - A **phrase** (`"permission denied"`) is found where its whole words follow each other, whatever
#   punctuation stands between them. Its punctuation is not lost: each of its parts between white
#   space must also be found as a plain term is. So `"cat"` is the word and not a part of `category`.
# - There is no other syntax. `* ? : ( ) { } \ AND OR` are text, and so is a quote without a partner,
#   or one inside a word.

MAX_TERMS = 20
MAX_TERM_CHARS = 255

_TERM = re.compile(r'"(?P<phrase>[^"]*)"|(?P<part>\S+)')
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_query(q: str) -> tuple[Term, ...]:
    """The terms of `q`, each once. Raises `InvalidError` where nothing can be looked for."""
    if len(q) > MAX_QUERY_CHARS:
        raise InvalidError("q", f"must have at most {MAX_QUERY_CHARS} characters")
    if _SURROGATE.search(q):
        raise InvalidError("q", "must be valid Unicode")
    terms = tuple(dict.fromkeys(term for match in _TERM.finditer(q) if (term := _term(match))))
    if not terms:
        raise InvalidError("q", "must name something to look for")
    if len(terms) > MAX_TERMS:
        raise InvalidError("q", f"must have at most {MAX_TERMS} terms")
    if any(len(term.text) > MAX_TERM_CHARS for term in terms):
        raise InvalidError("q", f"must have at most {MAX_TERM_CHARS} characters in a term")
    return terms


def _term(match: re.Match[str]) -> Term | None:
    """None for a phrase without content, and for accents that stand on nothing."""
    phrase: str | None = match["phrase"]
    text = compose(match["part"] if phrase is None else " ".join(phrase.split()))
    return Term(text, phrase=phrase is not None) if fold(text) else None


# Where the next page of a search begins: opaque to clients, and never trusted when it comes back.
#
# It holds the sort values of the last hit and nothing about what may be seen: token, chat and filters
# come from the request each time, so a cursor from elsewhere can only skip, never show more.

# relevance: score, created_at in ms, chat, number. number: chat, number.
_LENGTHS: dict[SortOrder, int] = {"relevance": 4, "number": 2}
SortValues = tuple[int, ...]


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sort: SortOrder
    values: SortValues


def encode_cursor(sort: SortOrder, values: SortValues) -> str:
    """A text that is safe in a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(sort, values))).decode().rstrip("=")


def decode_cursor(cursor: str, sort: SortOrder) -> SortValues:
    """The sort values in it. Raises `InvalidError` where it is broken or of another sort."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=_Cursor)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError) as broken:
        raise InvalidError("cursor", "must be one that this search gave") from broken
    if found.sort != sort:
        raise InvalidError("cursor", f"belongs to a search that is sorted by {found.sort}")
    if len(found.values) != _LENGTHS[sort] or any(abs(v) > MAX_NUMBER for v in found.values):
        raise InvalidError("cursor", "must be one that this search gave")
    return found.values
