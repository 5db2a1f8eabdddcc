"""The expected hits of a search, computed by reading every line.

The oracle shares only the class `Query` with the product. It removes accents with the decomposition of
Unicode, and splits text into words with a regular expression. A mistake in the folding or in the index of
the product is then a difference. The oracle handles Latin text, and no scripts without spaces.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.domain.search import Query, Term

_WORD = re.compile(r"[^\W_]+")
# What folding replaces, apart from accents: typographic signs, full-width signs, and letters that
# Unicode does not decompose.
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
    """One message as it was sent. `created_at` may be "" if no query limits the time."""

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
        """(chat, number) of all lines that match the query, highest first.

        The query's `token`, `sort`, `limit` and `cursor` have no effect.
        """
        matches = [
            (line.chat, line.number)
            for line, text in self._lines
            if _passes(query, line) and all(_contains(text, term) for term in query.terms)
        ]
        return sorted(matches, reverse=True)


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


def _contains(text: str, term: Term) -> bool:
    if not all(plain(part) in text for part in term.text.split()):
        return False
    wanted = _WORD.findall(plain(term.text))
    if not term.phrase or not wanted:
        return True
    words = _WORD.findall(text)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words)))
