"""Which spellings a search treats as equal.

Case and accents make no difference, nor do the styles of quotes and dashes, nor full-width letters. The whole
rule is a table of single characters that is applied to the NFC form of a text. The search index has the same
table as a character filter, so that Python and the index agree. `tests/contract/test_search_index.py` checks
that.
"""

import re
import unicodedata
from collections.abc import Callable

_FIRST_COMBINING, _LAST_COMBINING = 0x0300, 0x036F
# The only characters that fold to nothing.
_COMBINING = re.compile(f"[{chr(_FIRST_COMBINING)}-{chr(_LAST_COMBINING)}]")
# These strike a character through. Without them, a search for "equal" would find "not equal".
_OVERLAYS = frozenset("\u0334\u0335\u0336\u0337\u0338")
_LAST_BASIC_CODE_POINT = 0xFFFF
_LAST_STORED_CODE_POINT = 0x1FFFF
_SURROGATES = range(0xD800, 0xE000)

# Letters that Unicode does not decompose, and signs that phones insert by themselves.
_EQUAL_TO = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h",
    "ŧ": "t", "ı": "i", "ſ": "s", "ς": "σ",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-",
}  # fmt: skip
_COMPATIBLE = (range(0xFB00, 0xFB07), range(0xFF01, 0xFF5F))


def to_nfc(text: str) -> str:
    """The NFC form: one spelling for texts that only differ in how accents are composed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """The folded text, which searches compare."""
    return text.lower() if text.isascii() else to_nfc(text).translate(_table)


def fold_with_origins(text: str) -> tuple[str, range | list[int]]:
    """Fold an NFC text. The second part has the index in `text` of each folded character."""
    if text.isascii():
        return text.lower(), range(len(text))
    if not _COMBINING.search(text) and len(one_each := text.translate(_table)) == len(text):
        return one_each, range(len(text))
    folded = [_table[ord(character)] for character in text]
    origins = [index for index, part in enumerate(folded) for _ in part]
    return "".join(folded), origins


def folds_beyond_case() -> dict[str, str]:
    """The folding of each character of the basic plane for which it is not the lower case."""
    folds: dict[str, str] = {}
    for code_point in range(0x80, _LAST_BASIC_CODE_POINT + 1):
        character = chr(code_point)
        if code_point in _SURROGATES or to_nfc(character) != character:
            continue
        folded = _fold_character(character)
        if folded != character.lower():
            folds[character] = folded
    return folds


def _fold_character(character: str) -> str:
    if _is_combining(character):
        return ""
    lower = character.lower()
    if lower in _EQUAL_TO:
        return _EQUAL_TO[lower]
    if any(ord(character) in block for block in _COMPATIBLE):
        return unicodedata.normalize("NFKC", character).lower()
    base, *combining = list(unicodedata.normalize("NFD", character))
    is_accented = combining and base.isalpha() and all(map(_is_combining, combining))
    if is_accented and _OVERLAYS.isdisjoint(combining):
        return _fold_character(base)
    return lower


def _is_combining(character: str) -> bool:
    return _FIRST_COMBINING <= ord(character) <= _LAST_COMBINING


class CharacterTable(dict[int, str]):
    """A table for `str.translate`. It is filled when a character first occurs: most texts use very few.

    Characters beyond the first two planes are not stored: there are a million of them, and a table must not
    grow with what tenants write.
    """

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, code_point: int) -> str:
        value = self._function(chr(code_point))
        if code_point <= _LAST_STORED_CODE_POINT:
            self[code_point] = value
        return value


_table = CharacterTable(_fold_character)
