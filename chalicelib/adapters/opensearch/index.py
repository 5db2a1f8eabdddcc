"""The search index: documents in, searches and removals."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.connection import REQUEST_TIMEOUT, Answer, Connection
from chalicelib.adapters.opensearch.mapping import ALIAS, PART_CHARS
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.highlight import highlight
from chalicelib.domain.models import Message, Metadata
from chalicelib.domain.paging import fit_to_response
from chalicelib.domain.queue_records import Document
from chalicelib.domain.search import (
    Found,
    Hit,
    Query,
    SortOrder,
    Term,
    decode_cursor,
    encode_cursor,
)
from chalicelib.domain.text import compose, fold

# A message state as its OpenSearch document, and back, exactly as it was.

Source = dict[str, Any]


def to_action(document: Document) -> bytes:
    """The two lines of a bulk request. Raises `UnicodeEncodeError` for text that is not Unicode.

    The revision is the document's version, so an older state never replaces a newer one.
    """
    token, message = document.token, document.message
    head = {
        "_id": f"{token}:{document.chat}:{message.number}",
        "routing": token,
        "version": message.revision,
        "version_type": "external_gte",
    }
    lines = msgspec.json.encode({"index": head}), msgspec.json.encode(_to_source(document))
    return b"".join(line + b"\n" for line in lines)


def to_message(source: Source) -> Message:
    """The message as it was indexed. Its Idempotency-Key is not kept here."""
    metadata = source.get("metadata")
    return Message(
        number=source["number"],
        revision=source["revision"],
        body=source["original"] if "original" in source else source["body"],
        sender=source.get("sender"),
        metadata=None if metadata is None else msgspec.json.decode(metadata, type=Metadata),
        created_at=source["created_at"],
        edited_at=source.get("edited_at"),
    )


def _to_source(document: Document) -> Source:
    """A deleted message stays as a mark: OpenSearch forgets what it deleted after a minute, and an
    older state that came later would bring the message back.
    """
    message = document.message
    source: Source = {
        "token": document.token,
        "chat": document.chat,
        "number": message.number,
        "revision": message.revision,
        "deleted": message.deleted_at is not None,
        "created_at": message.created_at,
    }
    return source if source["deleted"] else {**source, **_content(message)}


def _content(message: Message) -> Source:
    """The composed spelling is indexed; the original is kept beside it where it differs."""
    body = compose(message.body)
    content: Source = {
        "body": body,
        "original": None if body == message.body else message.body,
        "sender": message.sender,
        "metadata": _as_text(message.metadata),
        "edited_at": message.edited_at,
    }
    return {name: value for name, value in content.items() if value is not None}


def _as_text(metadata: Metadata | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(metadata).decode()


# A `Query` as an OpenSearch request, and its answer as `Found`.
#
# No text of a user ever reaches a query language: terms are values of `match` queries, which look for
# them and nothing else. All conditions are filters. The score is the number of terms that stand as
# whole words: it hangs on nothing but the message itself, so it stays the same from page to page, and
# a cursor tells nothing about the frequency of words in other tenants' messages (BM25 would).

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
    page = fit_to_response(hits[: query.limit], lambda hit: len(hit["_source"]["body"]))
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


# The search index on OpenSearch: writes, removals and searches, all through one alias.
#
# An index that is not there is never made up on the way (`require_alias`): it would get a guessed
# mapping, and parts of words would never be found again. `migrate.py` puts it.

# Text without spaces takes 1 ms for each 1 kB to index: even that ends well before the read limit.
BULK_BYTES = 2_000_000
# OpenSearch answers a removal with one header for each 1,000 documents, and Python's `http.client`
# gives up at 100 headers.
PURGE_DOCUMENTS = 20_000
_REFUSED = 400
_OLDER_THAN_INDEXED = 409

Refused = list[tuple[Document, str]]
Actions = list[tuple[Document, bytes]]


class OpenSearchIndex:
    """`SearchIndex` of the ports."""

    def __init__(self, url: str, alias: str = ALIAS) -> None:
        self._connection = Connection(url)
        self._alias = alias

    def index(self, documents: Sequence[Document]) -> Refused:
        """Index states; newer revisions win. Returns those refused for good, with the reason."""
        actions, refused = _to_actions(documents)
        for chunk in _chunks(actions):
            refused += self._send(chunk)
        return refused

    def purge(self, token: str, chat: int | None) -> None:
        """Remove everything of a chat, or of an application.

        Raises `UnavailableError` where something changed while it was removed.
        """
        conditions: list[dict[str, Any]] = [{"term": {"token": token}}]
        if chat is not None:
            conditions.append({"term": {"chat": chat}})
        while self._remove(token, {"bool": {"filter": conditions}}) == PURGE_DOCUMENTS:
            pass

    def _remove(self, token: str, query: dict[str, Any]) -> int:
        """One step. Only what is visible can be removed, hence the refresh before."""
        options = {
            "conflicts": "proceed",
            "routing": token,
            "refresh": "false",
            "max_docs": PURGE_DOCUMENTS,
        }

        def remove(client: OpenSearch) -> Answer:
            client.indices.refresh(index=self._alias)
            answer: Answer = client.delete_by_query(
                index=self._alias, body={"query": query}, params=options
            )
            return answer

        answer = self._connection.call(remove)
        if answer["failures"] or answer["version_conflicts"] or answer["timed_out"]:
            raise UnavailableError("OpenSearch: not everything could be removed yet")
        return int(answer["deleted"])

    def search(self, query: Query) -> Found:
        """One page of what was found. Raises `InvalidError` for a cursor that does not fit."""
        request = to_request(query)
        options = {
            "routing": query.token,
            "allow_partial_search_results": "false",
            "request_timeout": REQUEST_TIMEOUT,
        }
        answer = self._connection.call(
            lambda client: client.search(index=self._alias, body=request, params=options)
        )
        return to_found(query, answer)

    def ping(self) -> None:
        """Raise `UnavailableError` unless the server answers and the index was put."""
        options = {"request_timeout": REQUEST_TIMEOUT}
        self._connection.call(
            lambda client: client.indices.get_alias(name=self._alias, params=options)
        )

    def _send(self, chunk: Actions) -> Refused:
        body = b"".join(lines for _, lines in chunk)
        answer = self._connection.call(
            lambda client: client.bulk(
                body=body, index=self._alias, params={"require_alias": "true"}
            )
        )
        results = [item["index"] for item in answer["items"]]
        refused: Refused = []
        for (document, _), result in zip(chunk, results, strict=True):
            if result["status"] == _REFUSED:
                refused.append((document, _reason(result["error"])))
            elif result["status"] >= _REFUSED and result["status"] != _OLDER_THAN_INDEXED:
                raise UnavailableError(f"OpenSearch: {result['status']} {_reason(result['error'])}")
        return refused


def _to_actions(documents: Sequence[Document]) -> tuple[Actions, Refused]:
    actions: Actions = []
    refused: Refused = []
    for document in documents:
        try:
            actions.append((document, to_action(document)))
        except UnicodeEncodeError as error:
            refused.append((document, f"not valid Unicode: {error.reason}"))
    return actions, refused


def _chunks(actions: Actions) -> Iterator[Actions]:
    chunk: Actions = []
    size = 0
    for document, lines in actions:
        if chunk and size + len(lines) > BULK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append((document, lines))
        size += len(lines)
    if chunk:
        yield chunk


def _reason(error: dict[str, Any]) -> str:
    cause = error.get("caused_by", {}).get("reason")
    return ": ".join(part for part in (error["type"], error.get("reason"), cause) if part)
