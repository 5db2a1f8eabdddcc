"""A search index in memory, with the meaning that `chalicelib/domain/search.py` states."""

from collections.abc import Sequence
from datetime import datetime

from chalicelib.domain.errors import OutageError
from chalicelib.domain.highlight import highlights, matches, matches_words
from chalicelib.domain.paging import fit_to_response
from chalicelib.domain.queue_records import Document, RefusedDocument
from chalicelib.domain.search import (
    Query,
    SearchHit,
    SearchPage,
    SortValues,
    decode_cursor,
    encode_cursor,
)
from chalicelib.domain.text import fold

_Key = tuple[str, int, int]


class FakeSearchIndex:
    """`is_down` makes every call fail. `migrated` says whether the index exists."""

    def __init__(self, migrated: bool = True) -> None:
        self.documents: dict[_Key, Document] = {}
        self.is_down = False
        self.migrated = migrated

    def index(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        self.ping()
        refused: list[RefusedDocument] = []
        for document in documents:
            if reason := _refusal(document):
                refused.append(RefusedDocument(document, reason))
                continue
            key = (document.token, document.chat, document.message.number)
            indexed = self.documents.get(key)
            if indexed is None or document.message.revision >= indexed.message.revision:
                self.documents[key] = document
        return refused

    def refresh(self) -> None:
        self.ping()

    def purge(self, token: str, chats: Sequence[int] | None) -> bool:
        self.ping()
        for key in list(self.documents):
            if key[0] == token and (chats is None or key[1] in chats):
                del self.documents[key]
        return True

    def search(self, query: Query) -> SearchPage:
        after = None if query.cursor is None else decode_cursor(query.cursor, query.sort)
        self.ping()
        matching = [d for d in self.documents.values() if _is_hit(query, d)]
        ranked = sorted(((_sort_values(query, d), d) for d in matching), key=_first, reverse=True)
        rest = [(v, d) for v, d in ranked if after is None or v < after]
        page = fit_to_response(rest[: query.limit], lambda hit: len(hit[1].message.body))
        documents = [document for _, document in page]
        shown = highlights([document.message.body for document in documents], query.terms)
        return SearchPage(
            hits=tuple(
                SearchHit(document.chat, document.message, highlight)
                for document, highlight in zip(documents, shown, strict=True)
            ),
            total=len(matching),
            cursor=encode_cursor(query.sort, page[-1][0]) if len(rest) > len(page) else None,
        )

    def ping(self) -> None:
        if self.is_down or not self.migrated:
            raise OutageError("OpenSearch is down" if self.is_down else "the index does not exist")


def _first(ranked: tuple[SortValues, Document]) -> SortValues:
    return ranked[0]


def _refusal(document: Document) -> str | None:
    try:
        document.message.body.encode()
        _milliseconds(document.message.created_at)
    except ValueError as error:
        return str(error)
    return None


def _is_hit(query: Query, document: Document) -> bool:
    message = document.message
    return (
        document.token == query.token
        and message.deleted_at is None
        and query.chat in (None, document.chat)
        and query.sender in (None, message.sender)
        and (query.created_from is None or message.created_at >= query.created_from)
        and (query.created_to is None or message.created_at < query.created_to)
        and all(matches(term, fold(message.body)) for term in query.terms)
    )


def _sort_values(query: Query, document: Document) -> SortValues:
    message = document.message
    if query.sort == "number":
        return document.chat, message.number
    folded = fold(message.body)
    score = sum(not term.phrase and matches_words(term, folded) for term in query.terms)
    return score, _milliseconds(message.created_at), document.chat, message.number


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
