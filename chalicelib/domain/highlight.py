"""Where search terms occur in a text, and the fragment around them that a hit shows.

The search index decides what a search finds. This module repeats that rule in Python for the highlights: the
index has parts of words and phrases in different fields, and a highlight marks both in one text.

A word is a run of letters and digits. Scripts without spaces (Han, Hiragana) have one word a character. The
index splits texts in the same way: its `standard` tokenizer runs after every other character became a space.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from chalicelib.domain.search import Term
from chalicelib.domain.text import fold, fold_with_origins, to_nfc

# Start and end of a part of a text.
TextRange = tuple[int, int]

FRAGMENT_CHARS = 200
_LEAD_CHARS = 60
# A body that repeats one letter matches more often than anybody needs to see.
_MAX_MATCHES = 1_000
_WORD_START_WITHIN = 20

_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")
_FIRST_HIRAGANA, _LAST_HIRAGANA = "\u3041", "\u309f"


def word_ranges(folded: str) -> list[TextRange]:
    """The words of a folded text."""
    if folded.isascii():
        return [match.span() for match in _ASCII_WORD.finditer(folded)]
    ranges: list[TextRange] = []
    is_in_word = False
    for index, character in enumerate(folded):
        is_whole_word = _is_whole_word(character)
        is_word_part = not is_whole_word and unicodedata.category(character)[0] in "LMN"
        if is_word_part and is_in_word:
            ranges[-1] = (ranges[-1][0], index + 1)
        elif is_whole_word or is_word_part:
            ranges.append((index, index + 1))
        is_in_word = is_word_part
    return ranges


def find_phrase(phrase: str, folded: str) -> Iterator[TextRange]:
    """Where the whole words of a folded phrase follow each other in another folded text."""
    phrase_words = [phrase[start:end] for start, end in word_ranges(phrase)]
    if not phrase_words or not all(word in folded for word in phrase_words):
        return
    ranges = word_ranges(folded)
    words = [folded[start:end] for start, end in ranges]
    for first in range(len(words) - len(phrase_words) + 1):
        if words[first : first + len(phrase_words)] == phrase_words:
            yield ranges[first][0], ranges[first + len(phrase_words) - 1][1]


def matches(term: Term, folded: str) -> bool:
    """Whether a search for the term finds a folded text."""
    if not all(fold(part) in folded for part in term.text.split()):
        return False
    return not term.phrase or not word_ranges(fold(term.text)) or matches_words(term, folded)


def matches_words(term: Term, folded: str) -> bool:
    """Whether the whole words of the term follow each other in a folded text."""
    return next(find_phrase(fold(term.text), folded), None) is not None


def highlight(body: str, terms: Sequence[Term]) -> str:
    """A fragment of the body around the match that has the most other terms near it.

    It is HTML-escaped, with `<em>` around each match. If nothing matches, it is the start of the body.
    """
    text = to_nfc(body)
    folded, origins = fold_with_origins(text)
    ranges_by_term = [
        [
            (origins[start], origins[end - 1] + 1)
            for start, end in islice(_find_term(term, folded), _MAX_MATCHES)
        ]
        for term in terms
    ]
    ranges = _merged(match for matches in ranges_by_term for match in matches)
    fragment_start = _fragment_start(text, ranges_by_term)
    first_end = min(
        (end for matches in ranges_by_term for start, end in matches if start >= fragment_start),
        default=0,
    )
    fragment_end = max(fragment_start + FRAGMENT_CHARS, first_end)
    return _to_html(text, fragment_start, fragment_end, ranges)


def _is_whole_word(character: str) -> bool:
    if character < _FIRST_HIRAGANA:
        return False
    return character <= _LAST_HIRAGANA or unicodedata.name(character, "").startswith("CJK ")


def _find_term(term: Term, folded: str) -> Iterator[TextRange]:
    folded_term = fold(term.text)
    if term.phrase and word_ranges(folded_term):
        yield from find_phrase(folded_term, folded)
        return
    for part in term.text.split():
        for match in re.finditer(re.escape(fold(part)), folded):
            yield match.span()


def _fragment_start(text: str, ranges_by_term: Sequence[Sequence[TextRange]]) -> int:
    """Some characters before the first match of the term that has the most other terms behind it."""
    reach = FRAGMENT_CHARS - _LEAD_CHARS
    starts = sorted(ranges[0][0] for ranges in ranges_by_term if ranges)
    if not starts:
        return 0
    best = max(
        starts,
        key=lambda start: sum(_is_within(ranges, start, reach) for ranges in ranges_by_term),
    )
    start = max(0, best - _LEAD_CHARS)
    blank = re.compile(r"\s\S").search(text, start, min(best, start + _WORD_START_WITHIN) + 1)
    return blank.end() - 1 if start and blank else start


def _is_within(ranges: Sequence[TextRange], first: int, reach: int) -> bool:
    return any(first <= start and end <= first + reach for start, end in ranges)


def _merged(ranges: Iterable[TextRange]) -> list[TextRange]:
    """The ranges in order. Those that touch or overlap become one."""
    merged: list[TextRange] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _to_html(text: str, start: int, end: int, ranges: Iterable[TextRange]) -> str:
    parts: list[str] = []
    done = start
    for first, last in ranges:
        if first < start or last > end:
            continue
        parts += html.escape(text[done:first]), "<em>", html.escape(text[first:last]), "</em>"
        done = last
    return "".join([*parts, html.escape(text[done:end])])
