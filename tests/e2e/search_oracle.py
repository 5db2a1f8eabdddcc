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
# What the rule for spelling names beside accents: typographic signs, full-width signs, and letters
# that Unicode does not take apart.
_ALIKE = str.maketrans(
    {
        **dict(zip("‘’‚‛′“”„‟″‐‑‒–—−", "'''''" + '"""""' + "------", strict=True)),
        **{chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)},
        **dict(zip("øđðłħŧıſςØĐÐŁĦŦ", "oddlhtisσoddlht", strict=True)),
        **{"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "Æ": "ae", "Œ": "oe", "Þ": "th"},
    }
)
_ACCENT = re.compile("[\u0300-\u036f]")


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
    """Without case, accents and typographic signs."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text).translate(_ALIKE)
    return unicodedata.normalize("NFC", _ACCENT.sub("", decomposed)).lower()


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
