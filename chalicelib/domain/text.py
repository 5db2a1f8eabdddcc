"""When two spellings are the same to somebody who searches.

Case, accents and the look of quotes, dashes and full-width letters do not count. The whole rule is
this table of single characters, applied to the composed form (NFC) of a text. The search index gets
the same table as a character filter, so that what Python takes for equal is equal there as well;
`tests/contract/test_search_index.py` holds the two together.
"""

import unicodedata

_FIRST_MARK, _LAST_MARK = 0x0300, 0x036F
# These strike a sign through: without them, "not equal" would be found as "equal".
_OVERLAYS = frozenset("\u0334\u0335\u0336\u0337\u0338")
_LAST_BASIC_CODE_POINT = 0xFFFF
_SURROGATES = range(0xD800, 0xE000)

# Letters that Unicode does not take apart, and signs that phones put in by themselves.
_ALIKE = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h",
    "ŧ": "t", "ı": "i", "ſ": "s", "ς": "σ",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-",
}  # fmt: skip
_COMPATIBLE = (range(0xFB00, 0xFB07), range(0xFF01, 0xFF5F))


def compose(text: str) -> str:
    """The one spelling (NFC) of texts that only differ in how accents are put together."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """What is compared instead of `text`."""
    return text.lower() if text.isascii() else compose(text).translate(_table)


def fold_with_origins(text: str) -> tuple[str, range | list[int]]:
    """Fold a composed text; the second part tells for each character where it came from."""
    if text.isascii():
        return text.lower(), range(len(text))
    parts = [_table[ord(character)] for character in text]
    origins = [at for at, part in enumerate(parts) for _ in part]
    return "".join(parts), origins


def folds_beyond_case() -> dict[str, str]:
    """Each character of the basic plane whose folding is more than its lower case."""
    folds: dict[str, str] = {}
    for code_point in range(0x80, _LAST_BASIC_CODE_POINT + 1):
        character = chr(code_point)
        if code_point in _SURROGATES or compose(character) != character:
            continue
        folded = _fold_character(character)
        if folded != character.lower():
            folds[character] = folded
    return folds


def _fold_character(character: str) -> str:
    if _is_mark(character):
        return ""
    lower = character.lower()
    if lower in _ALIKE:
        return _ALIKE[lower]
    if any(ord(character) in block for block in _COMPATIBLE):
        return unicodedata.normalize("NFKC", character).lower()
    base, *marks = list(unicodedata.normalize("NFD", character))
    if marks and base.isalpha() and all(map(_is_mark, marks)) and _OVERLAYS.isdisjoint(marks):
        return _fold_character(base)
    return lower


def _is_mark(character: str) -> bool:
    return _FIRST_MARK <= ord(character) <= _LAST_MARK


class _Table(dict[int, str]):
    """Filled as characters are met: most texts use very few of the possible ones."""

    def __missing__(self, code_point: int) -> str:
        folded = self[code_point] = _fold_character(chr(code_point))
        return folded


_table = _Table()
