"""Where search terms occur in a text, and the fragment around them that a hit shows.

The search index decides what a search finds. This module repeats that rule in Python for the highlights: the
index has parts of words and phrases in different fields, and a highlight marks both in one text.

A word is a run of letters and digits. Scripts without spaces (Han, Hiragana) have one word a character. The
index splits texts in the same way: its `standard` tokenizer runs after every other character became a space.

A client chooses the terms, and tenants choose the bodies. So each body is folded once and split into words at
most once, whatever the number of terms. A term is found with `str.find`, and all matches only inside the
fragment. What remains differs between texts: a character that is new to the process takes fifty times as
long. So the highlights of one response also have a budget of CPU time (`tests/unit/test_highlight.py`).
"""

import html
import re
import time
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from chalicelib.domain.limits import MAX_HIGHLIGHT_CPU_MS
from chalicelib.domain.search import Term
from chalicelib.domain.text import CharacterTable, fold, fold_with_origins, to_nfc

# Start and end of a part of a text.
TextRange = tuple[int, int]

FRAGMENT_CHARS = 200
_LEAD_CHARS = 60
_WORD_START_WITHIN = 20

_FIRST_HIRAGANA, _LAST_HIRAGANA = "\u3041", "\u309f"
# The classes of characters: one that is a word by itself, a part of a word, and neither.
_WHOLE_WORD, _WORD_PART, _SEPARATOR = "w", "p", " "
_FIRST_WORD_PART = "f"
_BLANK = re.compile(r"\s\S")


def _character_class(character: str) -> str:
    is_hiragana = _FIRST_HIRAGANA <= character <= _LAST_HIRAGANA
    if is_hiragana or unicodedata.name(character, "").startswith("CJK "):
        return _WHOLE_WORD
    return _WORD_PART if unicodedata.category(character)[0] in "LMN" else _SEPARATOR


def _apart(character: str) -> str:
    """The character, with spaces where it separates words."""
    return {_WHOLE_WORD: f" {character} ", _WORD_PART: character}.get(_classes[ord(character)], " ")


_classes = CharacterTable(_character_class)
_separations = CharacterTable(_apart)


def split_words(folded: str) -> list[str]:
    """The words of a folded text."""
    return folded.translate(_separations).split()


def _word_starts(folded: str) -> list[int]:
    classes = f" {folded.translate(_classes)}"
    for before in (_SEPARATOR, _WHOLE_WORD):
        classes = classes.replace(before + _WORD_PART, before + _FIRST_WORD_PART)
    is_start = _WHOLE_WORD + _FIRST_WORD_PART
    return [index for index, kind in enumerate(classes, -1) if kind in is_start]


class _Pattern:
    """What a term looks for in a folded text: the words of a phrase, or parts between white space."""

    def __init__(self, term: Term) -> None:
        folded = fold(term.text)
        words = split_words(folded) if term.phrase else []
        self.words = _join(words) if words else ""
        self.parts = [part for part in map(fold, term.text.split()) if part]

    def find(self, text: "_FoldedText", start: int, end: int) -> TextRange | None:
        """The first match between two positions. Of several parts, any one is a match."""
        if self.words:
            return text.find_words(self.words, start, end)
        of_parts = (
            (at, at + len(p)) for p in self.parts if (at := text.folded.find(p, start, end)) >= 0
        )
        return min(of_parts, default=None)

    def find_all(self, text: "_FoldedText", start: int, end: int) -> Iterator[TextRange]:
        """The matches between two positions that do not overlap."""
        while match := self.find(text, start, end):
            yield match
            start = match[1]


class _FoldedText:
    """A folded text. It is split into words when the first phrase is searched."""

    def __init__(self, folded: str) -> None:
        self.folded = folded
        self._joined = ""
        self._starts: list[int] = []
        self._offsets: list[int] = []

    def find_words(self, words: str, start: int, end: int) -> TextRange | None:
        """The first place between two positions where these whole words follow each other."""
        if not self._joined:
            self._split()
        first, behind = bisect_left(self._starts, start), bisect_left(self._starts, end)
        if first == behind:
            return None
        at = self._joined.find(words, self._offsets[first], self._offsets[behind] + 1)
        if at < 0:
            return None
        index = bisect_left(self._offsets, at)
        last = bisect_left(self._offsets, at + len(words) - 1) - 1
        length_of_last = self._offsets[last + 1] - self._offsets[last] - 1
        match = self._starts[index], self._starts[last] + length_of_last
        return match if match[1] <= end else None

    def _split(self) -> None:
        words = split_words(self.folded)
        self._joined = _join(words)
        self._starts = _word_starts(self.folded)
        # Where the space before each word is, and the one behind the last word.
        self._offsets = list(accumulate((len(word) + 1 for word in words), initial=0))


def _join(words: Sequence[str]) -> str:
    """The words, each between spaces: a space is in no word, so a match begins and ends with whole words."""
    return f" {' '.join(words)} "


def matches(term: Term, folded: str) -> bool:
    """Whether a search for the term finds a folded text."""
    if not all(fold(part) in folded for part in term.text.split()):
        return False
    return not term.phrase or not split_words(fold(term.text)) or matches_words(term, folded)


def matches_words(term: Term, folded: str) -> bool:
    """Whether the whole words of the term follow each other in a folded text."""
    words = _Pattern(Term(term.text, phrase=True)).words
    return bool(words) and _FoldedText(folded).find_words(words, 0, len(folded)) is not None


def highlights(
    bodies: Iterable[str],
    terms: Sequence[Term],
    cpu_seconds: Callable[[], float] = time.thread_time,
) -> list[str | None]:
    """The highlight of each body of one response. None if the CPU time for them was used up before.

    A highlight is a fragment of the body around the match that has the most other terms near it. It is
    HTML-escaped, with `<em>` around each match. If nothing matches, it is the start of the body.
    """
    patterns = [_Pattern(term) for term in terms]
    until = cpu_seconds() + MAX_HIGHLIGHT_CPU_MS / 1000
    return [_highlight(body, patterns) if cpu_seconds() < until else None for body in bodies]


def _highlight(body: str, patterns: Sequence[_Pattern]) -> str:
    text = to_nfc(body)
    folded, origins = fold_with_origins(text)
    folded_text = _FoldedText(folded)
    start = _fragment_start(text, origins, folded_text, patterns)
    # The first match is shown whole, even if it is longer than a fragment.
    folded_start = bisect_left(origins, start)
    nearest = (pattern.find(folded_text, folded_start, len(folded)) for pattern in patterns)
    first_end = min((origins[match[1] - 1] + 1 for match in nearest if match), default=0)
    end = max(start + FRAGMENT_CHARS, first_end)
    folded_end = bisect_left(origins, end)
    ranges = [
        (origins[first], origins[last - 1] + 1)
        for pattern in patterns
        for first, last in pattern.find_all(folded_text, folded_start, folded_end)
    ]
    return _to_html(text, start, end, _merged(ranges))


def _fragment_start(
    text: str, origins: Sequence[int], folded_text: _FoldedText, patterns: Sequence[_Pattern]
) -> int:
    """Some characters before the first match of the term that has the most other terms behind it."""
    nearest = (pattern.find(folded_text, 0, len(folded_text.folded)) for pattern in patterns)
    starts = sorted({match[0] for match in nearest if match})
    if not starts:
        return 0

    def count_near(start: int) -> int:
        end = bisect_left(origins, origins[start] + FRAGMENT_CHARS - _LEAD_CHARS)
        return sum(pattern.find(folded_text, start, end) is not None for pattern in patterns)

    first = origins[max(starts, key=count_near)]
    start = max(0, first - _LEAD_CHARS)
    blank = _BLANK.search(text, start, min(first, start + _WORD_START_WITHIN) + 1)
    return blank.end() - 1 if start and blank else start


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
        parts += html.escape(text[done:first]), "<em>", html.escape(text[first:last]), "</em>"
        done = last
    return "".join([*parts, html.escape(text[done:end])])
