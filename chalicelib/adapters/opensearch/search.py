"""A `Query` as an OpenSearch request, and its answer as `Found`.

No text of a user ever reaches a query language: terms are values of `match` queries, which look for
them and nothing else. All conditions are filters. The score is the number of terms that stand as
whole words: it hangs on nothing but the message itself, so it stays the same from page to page, and
a cursor tells nothing about the frequency of words in other tenants' messages (BM25 would).
"""

from typing import Any

from chalicelib.adapters.opensearch.connection import Answer
from chalicelib.adapters.opensearch.document import to_message
from chalicelib.adapters.opensearch.mapping import PART_CHARS
from chalicelib.domain.folding import fold
from chalicelib.domain.found_text import highlight
from chalicelib.domain.pages import fitting
from chalicelib.domain.search import Found, Hit, Query, SortOrder, Term
from chalicelib.domain.search_cursor import decode_cursor, encode_cursor

Clause = dict[str, Any]

_BY_NUMBER: list[Clause] = [{"chat": "desc"}, {"number": "desc"}]
_SORTS: dict[SortOrder, list[Clause]] = {
    "relevance": [{"_score": "desc"}, {"created_at": "desc"}, *_BY_NUMBER],
    "number": _BY_NUMBER,
}


def to_request(query: Query) -> dict[str, Any]:
    """The body of the request. It asks for one hit more, to know whether there is a next page."""
    request: dict[str, Any] = {
        "query": {"bool": {"filter": _filters(query), "should": _scoring(query)}},
        "sort": _SORTS[query.sort],
        "size": query.limit + 1,
        "track_total_hits": True,
    }
    if query.cursor is not None:
        request["search_after"] = list(decode_cursor(query.cursor, query.sort))
    return request


def to_found(query: Query, answer: Answer) -> Found:
    """One page of hits, with the cursor of the next one."""
    hits = answer["hits"]["hits"]
    page = fitting(hits[: query.limit], lambda hit: len(hit["_source"]["body"]))
    cursor = None
    if len(hits) > len(page):
        cursor = encode_cursor(query.sort, tuple(int(value) for value in page[-1]["sort"]))
    return Found(
        hits=tuple(_to_hit(hit["_source"], query.terms) for hit in page),
        total=answer["hits"]["total"]["value"],
        cursor=cursor,
    )


def _to_hit(source: dict[str, Any], terms: tuple[Term, ...]) -> Hit:
    message = to_message(source)
    return Hit(chat=source["chat"], message=message, highlight=highlight(message.body, terms))


def _filters(query: Query) -> list[Clause]:
    filters: list[Clause] = [{"term": {"token": query.token}}, {"term": {"deleted": False}}]
    if query.chat is not None:
        filters.append({"term": {"chat": query.chat}})
    if query.sender is not None:
        filters.append({"term": {"sender": query.sender}})
    bounds = {"gte": query.created_from, "lt": query.created_to}
    if span := {bound: value for bound, value in bounds.items() if value is not None}:
        filters.append({"range": {"created_at": span}})
    return filters + [clause for term in query.terms for clause in _finding(term)]


def _finding(term: Term) -> list[Clause]:
    parts = [_part(part) for part in dict.fromkeys(term.text.split())]
    return [*parts, _as_words(term)] if term.phrase else parts


def _part(text: str) -> Clause:
    if len(fold(text)) < PART_CHARS:
        return {"match": {"body.short": {"query": text}}}
    return {"match_phrase": {"body.parts": {"query": text}}}


def _as_words(term: Term) -> Clause:
    """A term without a letter or digit has no words to look for; its parts decide."""
    return {"match_phrase": {"body": {"query": term.text, "zero_terms_query": "all"}}}


def _scoring(query: Query) -> list[Clause]:
    if query.sort != "relevance":
        return []
    return [
        {"constant_score": {"filter": _as_words(term)}} for term in query.terms if not term.phrase
    ]
