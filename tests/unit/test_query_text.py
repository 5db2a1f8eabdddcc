"""The parsing of a query, and whether its terms match a text."""

import pytest

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.highlight import matches
from chalicelib.domain.search import Term, parse_query
from chalicelib.domain.text import fold, folds_beyond_case


def part(text: str) -> Term:
    return Term(text)


def phrase(text: str) -> Term:
    return Term(text, phrase=True)


@pytest.mark.parametrize(
    ("q", "terms"),
    [
        ("hello", [part("hello")]),
        ("  two \t words\u00a0here ", [part("two"), part("words"), part("here")]),
        ('"permission   denied" sudo', [phrase("permission denied"), part("sudo")]),
        ('"one', [part('"one')]),
        ('5" disk', [part('5"'), part("disk")]),
        ('say"hi there"', [part('say"hi'), part('there"')]),
        ('"a b"c', [phrase("a b"), part("c")]),
        ('"" x', [part("x")]),
        (
            "c++ AND NOT (builtin OR a:b*) \\",
            [*map(part, ["c++", "AND", "NOT", "(builtin", "OR", "a:b*)", "\\"])],
        ),
        ("same same", [part("same")]),
        ("e\u0301", [part("é")]),
    ],
)
def test_a_query_is_split_into_terms(q: str, terms: list[Term]) -> None:
    assert list(parse_query(q)) == terms


@pytest.mark.parametrize(
    "q",
    ["", "   ", '""', '"  "', "\u0301", "x" * 501, "x" * 256, " ".join(map(str, range(21))),
     "\ud800"],
    ids=["empty", "blank", "empty phrase", "blank phrase", "lone accent", "501 characters",
         "a term of 256", "21 terms", "half a character"],
)  # fmt: skip
def test_a_query_without_terms_is_invalid(q: str) -> None:
    with pytest.raises(InvalidError) as error:
        parse_query(q)
    assert error.value.violations[0].pointer == "q"


def test_the_limits_themselves_are_allowed() -> None:
    assert len(parse_query(" ".join(map(str, range(20))))) == 20
    assert len(parse_query("x" * 255)) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("École", "ecole"), ("Straße", "STRASSE"), ("e\u0301", "é"), ("ΟΔΟΣ", "οδος"), ("й", "и"),
        ("“don’t”", '"don\'t"'), ("İstanbul", "istanbul"), ("ﬁle", "file"), ("Ａｂｃ", "abc"),
        ("ǿ", "o"), ("x\u0301", "x"),
    ],
)  # fmt: skip
def test_spellings_that_differ_in_case_and_accents_are_the_same(first: str, second: str) -> None:
    assert fold(first) == fold(second)


@pytest.mark.parametrize(("first", "second"), [("≠", "="), ("か", "が"), ("n", "m")])
def test_other_characters_are_not_folded_together(first: str, second: str) -> None:
    assert fold(first) != fold(second)


def test_folding_twice_is_folding_once() -> None:
    assert all(fold(folded) == folded for folded in folds_beyond_case().values())


@pytest.mark.parametrize(
    ("term", "body", "is_match"),
    [
        (part("art"), "starting", True),
        (part("c++"), "I like C++11", True),
        (phrase("hello world"), "Hello, world!", True),
        (phrase("hello world"), "hello big world", False),
        (phrase("cat"), "category", False),
        (phrase("c++ code"), "c code", False),
        (phrase("!!!"), "what!!!", True),
        (phrase("東京"), "私は東京に", True),
    ],
)
def test_a_term_matches_where_it_occurs(term: Term, body: str, is_match: bool) -> None:
    assert matches(term, fold(body)) is is_match
