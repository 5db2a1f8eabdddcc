"""What a search must find, by reading every line: the judge of the search, not a part of it.

It shares no code with the product beyond the shape of `Query`. Accents are taken off by Unicode's
own decomposition and words are taken apart by a regular expression, so that a mistake in the
product's folding or in its index shows as a difference. It knows Latin text; it is not for scripts
without spaces.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.domain.search import Query, Term

_WORD = re.compile(r"[^\W_]+")
_PUNCTUATION = str.maketrans("‘’‚′“”„″‐‑‒–—−", "''''\"\"\"\"------")


@dataclass(frozen=True)
class Line:
    """One message as it was sent. `created_at` may be "" where no query asks for times."""

    chat: int
    number: int
    sender: str | None
    body: str
    created_at: str


class SearchOracle:
    """Folds each line once, and reads all of them for each query."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = [(line, plain(line.body)) for line in lines]

    def find(self, query: Query) -> list[tuple[int, int]]:
        """(chat, number) of all lines that the query finds: sorted by number, newest first.

        `token`, `sort`, `limit` and `cursor` of the query are not looked at.
        """
        found = [
            (line.chat, line.number)
            for line, text in self._lines
            if _passes(query, line) and all(_stands(term, text) for term in query.terms)
        ]
        return sorted(found, reverse=True)


def plain(text: str) -> str:
    """Without case, accents and typographic quotes and dashes."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text.translate(_PUNCTUATION))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).lower()


def _passes(query: Query, line: Line) -> bool:
    return (
        query.chat in (None, line.chat)
        and query.sender in (None, line.sender)
        and (query.created_from is None or line.created_at >= query.created_from)
        and (query.created_to is None or line.created_at < query.created_to)
    )


def _stands(term: Term, text: str) -> bool:
    if not all(plain(part) in text for part in term.text.split()):
        return False
    wanted = _WORD.findall(plain(term.text))
    if not term.phrase or not wanted:
        return True
    here = _WORD.findall(text)
    return any(here[at : at + len(wanted)] == wanted for at in range(len(here)))
