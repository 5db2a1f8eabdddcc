"""What a word is to a phrase: a run of letters and digits, whatever stands around it.

Scripts that are written without spaces (Han, Hiragana) have one word a character. The search index
takes texts apart in the same way (`standard` tokenizer, after everything else became a space).
"""

import re
import unicodedata
from collections.abc import Iterator

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
