"""The fragments of a search response, and how much work they may be."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from chalicelib.domain import highlight
from chalicelib.domain.highlight import highlights
from chalicelib.domain.limits import MAX_BODY_CHARS, MAX_HIGHLIGHT_CPU_MS
from chalicelib.domain.search import Term, parse_query

# 20 quoted words in a script without spaces: 79 characters of `q`.
LETTERS = [chr(0x4E00 + i) for i in range(20)]
QUOTED = parse_query(" ".join(f'"{letter}"' for letter in LETTERS))
LONG_BODY = "".join(LETTERS) * (MAX_BODY_CHARS // len(LETTERS))


def part(text: str) -> Term:
    return Term(text)


def phrase(text: str) -> Term:
    return Term(text, phrase=True)


@pytest.mark.parametrize(
    ("body", "terms", "shown"),
    [
        ("starting <b> & all", [part("art")], "st<em>art</em>ing &lt;b&gt; &amp; all"),
        ("abcd", [part("abc"), part("bcd")], "<em>abcd</em>"),
        ("Hello, World!", [phrase("hello world")], "<em>Hello, World</em>!"),
        ("cafe\u0301 au lait", [part("cafe")], "<em>café</em> au lait"),
        ("Straße", [part("ss")], "Stra<em>ß</em>e"),
        ("nothing here", [part("x")], "nothing here"),
        ("one, two", [phrase(", \u0301")], "one<em>,</em> two"),
        ("a" * 300, [part("a")], f"<em>{'a' * 200}</em>"),
    ],
)
def test_matches_are_highlighted(body: str, terms: list[Term], shown: str) -> None:
    assert highlights([body], terms) == [shown]


def test_a_fragment_of_a_long_body_surrounds_the_match() -> None:
    (shown,) = highlights(["before " * 300 + "needle " + "after " * 300], [part("needle")])
    assert shown is not None
    assert "<em>needle</em>" in shown
    assert shown.startswith("before ")
    assert len(shown) == 200 + len("<em></em>")


def test_a_phrase_that_is_longer_than_a_fragment_is_shown_whole() -> None:
    words = "word " * 45
    (shown,) = highlights([f"before {words}after"], [phrase(words.strip())])
    assert shown == f"before <em>{words.strip()}</em>"


def counted(monkeypatch: pytest.MonkeyPatch, name: str, calls: Counter[str]) -> None:
    work: Callable[..., Any] = getattr(highlight, name)

    def count_call(text: str) -> Any:
        calls[name] += text == LONG_BODY
        return work(text)

    monkeypatch.setattr(highlight, name, count_call)


def test_each_body_is_folded_once_and_split_once_whatever_the_number_of_phrases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[str] = Counter()
    for name in ("fold_with_origins", "split_words"):
        counted(monkeypatch, name, calls)
    shown = highlights([LONG_BODY] * 3, QUOTED, cpu_seconds=lambda: 0)
    assert calls == {"fold_with_origins": 3, "split_words": 3}
    assert shown == [f"<em>{LONG_BODY[:200]}</em>"] * 3


def test_a_body_is_not_split_into_words_if_the_search_has_no_phrase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[str] = Counter()
    counted(monkeypatch, "split_words", calls)
    highlights([LONG_BODY], [part(letter) for letter in LETTERS])
    assert calls["split_words"] == 0


def test_hits_have_no_highlight_after_the_cpu_time_of_the_response_is_used_up() -> None:
    each_call_takes = MAX_HIGHLIGHT_CPU_MS / 1000 / 4
    ticks = (n * each_call_takes for n in count())
    shown = highlights(["found"] * 6, [part("found")], cpu_seconds=lambda: next(ticks))
    assert shown == ["<em>found</em>"] * 3 + [None] * 3


def test_the_tables_of_characters_do_not_grow_with_what_tenants_write() -> None:
    rare = "".join(map(chr, range(0x20000, 0x20000 + MAX_BODY_CHARS)))
    highlights([rare], [phrase("x")])
    assert max(highlight._classes) < 0x20000
