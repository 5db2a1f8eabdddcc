"""Where terms stand in a text, and the fragment around them that people are shown."""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from chalicelib.domain.search import Term
from chalicelib.domain.text import compose, fold, fold_with_origins

# What a word is to a phrase: a run of letters and digits, whatever stands around it.
#
# Scripts that are written without spaces (Han, Hiragana) have one word a character. The search index
# takes texts apart in the same way (`standard` tokenizer, after everything else became a space).

Span = tuple[int, int]

_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")
_FIRST_HIRAGANA, _LAST_HIRAGANA = "\u3041", "\u309f"


def words(folded: str) -> list[Span]:
    """Where the words of a folded text stand."""
    if folded.isascii():
        return [match.span() for match in _ASCII_WORD.finditer(folded)]
    spans: list[Span] = []
    open_word = False
    for at, character in enumerate(folded):
        is_own = _is_own_word(character)
        is_inner = not is_own and unicodedata.category(character)[0] in "LMN"
        if is_inner and open_word:
            spans[-1] = (spans[-1][0], at + 1)
        elif is_own or is_inner:
            spans.append((at, at + 1))
        open_word = is_inner
    return spans


def word_runs(looked_for: str, folded: str) -> Iterator[Span]:
    """Where all the words of one folded text follow each other, as whole words, in another."""
    wanted = [looked_for[start:end] for start, end in words(looked_for)]
    if not wanted or not all(word in folded for word in wanted):
        return
    spans = words(folded)
    here = [folded[start:end] for start, end in spans]
    for at in range(len(here) - len(wanted) + 1):
        if here[at : at + len(wanted)] == wanted:
            yield spans[at][0], spans[at + len(wanted) - 1][1]


def _is_own_word(character: str) -> bool:
    if character < _FIRST_HIRAGANA:
        return False
    return character <= _LAST_HIRAGANA or unicodedata.name(character, "").startswith("CJK ")


# Where terms stand in a text, and the fragment around them that people are shown.
#
# The search index decides what is found; this says the same in Python, for the highlights: one string
# that marks parts of words and phrases alike, which the index keeps in different fields.

FRAGMENT_CHARS = 200
_LEAD_CHARS = 60
# A body of one letter over and over has more places than anybody needs to see.
_MAX_PLACES = 1_000
_WORD_START_WITHIN = 20


def is_found(term: Term, folded: str) -> bool:
    """Whether the term stands in a text that was folded before."""
    if not all(fold(part) in folded for part in term.text.split()):
        return False
    return not term.phrase or not words(fold(term.text)) or stands_as_words(term, folded)


def stands_as_words(term: Term, folded: str) -> bool:
    """Whether the whole words of the term follow each other in a text that was folded before."""
    return next(word_runs(fold(term.text), folded), None) is not None


def highlight(body: str, terms: Sequence[Term]) -> str:
    """A fragment around the first place that shows the most terms, HTML-escaped, with `<em>`.

    Where nothing can be marked, the start of the body.
    """
    text = compose(body)
    folded, origins = fold_with_origins(text)
    spans = [
        [
            (origins[start], origins[end - 1] + 1)
            for start, end in islice(_places(term, folded), _MAX_PLACES)
        ]
        for term in terms
    ]
    begin = _begin(text, spans)
    first_end = min((end for found in spans for start, end in found if start >= begin), default=0)
    end = max(begin + FRAGMENT_CHARS, first_end)
    return _marked(text, begin, end, _joined(span for found in spans for span in found))


def _places(term: Term, folded: str) -> Iterator[Span]:
    looked_for = fold(term.text)
    if term.phrase and words(looked_for):
        yield from word_runs(looked_for, folded)
        return
    for part in term.text.split():
        for match in re.finditer(re.escape(fold(part)), folded):
            yield match.span()


def _begin(text: str, spans: Sequence[Sequence[Span]]) -> int:
    """Some characters before the first place of the term that has the most others behind it."""
    reach = FRAGMENT_CHARS - _LEAD_CHARS
    starts = sorted(found[0][0] for found in spans if found)
    if not starts:
        return 0
    best = max(starts, key=lambda begin: sum(_is_within(s, begin, reach) for s in spans))
    begin = max(0, best - _LEAD_CHARS)
    blank = re.compile(r"\s\S").search(text, begin, min(best, begin + _WORD_START_WITHIN) + 1)
    return blank.end() - 1 if begin and blank else begin


def _is_within(spans: Sequence[Span], begin: int, reach: int) -> bool:
    return any(begin <= start and end <= begin + reach for start, end in spans)


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _marked(text: str, begin: int, end: int, spans: Iterable[Span]) -> str:
    parts: list[str] = []
    at = begin
    for start, stop in spans:
        if start < begin or stop > end:
            continue
        parts += html.escape(text[at:start]), "<em>", html.escape(text[start:stop]), "</em>"
        at = stop
    return "".join([*parts, html.escape(text[at:end])])
