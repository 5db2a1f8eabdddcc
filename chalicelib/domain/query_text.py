"""What somebody types into the search box, taken apart into terms.

`q` is split at white space; quotes make a phrase. Every term must be found, in any order.

- A **plain term** is found where it occurs, ignoring case and accents (`folding.py`), anywhere in a
  word of the body: one letter, a middle part, punctuation and all (`c++`, `apt-get`, `(builtin`).
- A **phrase** (`"permission denied"`) is found where its whole words follow each other, whatever
  punctuation stands between them. Its punctuation is not lost: each of its parts between white
  space must also be found as a plain term is. So `"cat"` is the word and not a part of `category`.
- There is no other syntax. `* ? : ( ) { } \\ AND OR` are text, and so is a quote without a partner,
  or one inside a word.
"""

import re

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.folding import compose, fold
from chalicelib.domain.limits import MAX_QUERY_CHARS
from chalicelib.domain.search import Term

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
