"""The search index: writes, removals and searches, all through one alias.

No text of a user reaches a query language: terms are values of `match` queries, which search for them and
nothing else. All conditions are filters.

The score is the number of terms that occur as whole words. It depends only on the message, so it is the same
on every page. BM25 would differ: its cursors would reveal how often words occur in messages of other tenants.

No write creates an index (`require_alias`). An index that OpenSearch created by itself would have a guessed
mapping, and searches for parts of words would find nothing. `mapping.migrate` creates it.

Every wait has a limit. Nothing is retried here: the queue or the client retries. Every error of OpenSearch
becomes `UnavailableError`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import urllib3
from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth
from opensearchpy.exceptions import ConnectionError as NoConnectionError
from opensearchpy.exceptions import OpenSearchException, TransportError

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import OutageError, UnavailableError
from chalicelib.domain.highlight import highlights
from chalicelib.domain.models import AppToken, ChatNumber, Message, Metadata
from chalicelib.domain.paging import fit_to_response
from chalicelib.domain.queue_records import Document, RefusedDocument
from chalicelib.domain.search import (
    Query,
    SearchHit,
    SearchPage,
    SortOrder,
    Term,
    decode_cursor,
    encode_cursor,
)
from chalicelib.domain.text import fold, to_nfc

ALIAS = "messages"
PART_CHARS = 3


CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
# For requests, whose client waits, instead of the two above.
REQUEST_TIMEOUT = urllib3.Timeout(connect=CONNECT_SECONDS, read=4.0)
# The server stops a search before its client gives up; otherwise the work would go on for nobody. The first
# is checked while hits are collected, the second also between the phases of a search.
SEARCH_TIMEOUT, SEARCH_CANCEL_AFTER = "3s", "3500ms"

_AWS_HOST = re.compile(r".+\.(?P<region>[a-z0-9-]+)\.es\.amazonaws\.com(\.cn)?")

# It cannot be read, it conflicts with another one, it is too large.
_OF_THE_REQUEST = (400, 409, 413)

Response = dict[str, Any]


class Connection:
    """Opened by the first call and reused by later calls of the same process."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._circuit = Circuit("OpenSearch", _is_unreachable)

    @cached_property
    def client(self) -> OpenSearch:
        secure = self._url.scheme == "https"
        user, password = self._url.username, self._url.password
        return OpenSearch(
            hosts=[
                {
                    "host": self._url.hostname,
                    "port": self._url.port or (443 if secure else 9200),
                    "url_prefix": self._url.path.strip("/"),
                }
            ],
            http_auth=(unquote(user), unquote(password or "")) if user else self._signer(),
            use_ssl=secure,
            verify_certs=secure,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            max_retries=0,
        )

    def _signer(self) -> Urllib3AWSV4SignerAuth | None:
        """Signs requests to a domain of Amazon OpenSearch Service with the role of the function."""
        host = _AWS_HOST.fullmatch(self._url.hostname or "")
        if host is None:
            return None
        from botocore.credentials import EnvProvider

        return Urllib3AWSV4SignerAuth(EnvProvider().load(), host["region"], "es")

    def call(self, request: Callable[[OpenSearch], Response]) -> Response:
        """The response to one request.

        Raises `UnavailableError` if the request is the cause, and `OutageError` for every other failure.
        """
        try:
            with self._circuit.calling():
                return request(self.client)
        except TransportError as error:
            kind = UnavailableError if error.status_code in _OF_THE_REQUEST else OutageError
            raise kind(f"OpenSearch: {error.status_code} {error.error}") from error
        except OpenSearchException as error:
            raise OutageError(f"OpenSearch: {error}") from error


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, NoConnectionError)  # time-outs included


Source = dict[str, Any]


def to_action(document: Document) -> bytes:
    """The two lines of a bulk request. Raises `UnicodeEncodeError` for text that is not valid Unicode.

    The revision is the version of the document, so an older version never replaces a newer one.
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
    """The message of a document. A document has no Idempotency-Key."""
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
    """A deleted message leaves a document without content.

    OpenSearch forgets the version of a deleted document after a minute. An older version that arrives later
    would then bring the message back.
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
    """The NFC form of the body is indexed. If it differs from the original, the original is stored too."""
    body = to_nfc(message.body)
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


Clause = dict[str, Any]
Hit = dict[str, Any]

_BY_NUMBER: list[Clause] = [{"chat": "desc"}, {"number": "desc"}]
_SORTS: dict[SortOrder, list[Clause]] = {
    "relevance": [{"_score": "desc"}, {"created_at": "desc"}, *_BY_NUMBER],
    "number": _BY_NUMBER,
}


def to_request(query: Query) -> dict[str, Any]:
    """The body of the request. It requests one more hit than the limit, to know whether a page follows.

    OpenSearch counts all hits. To count only up to a limit takes longer, because the sort orders visit every
    hit anyway (50,000 hits: 24 to 63 ms up to 10,000, and 20 to 56 ms in all).
    """
    request: dict[str, Any] = {
        "query": {"bool": {"filter": _filters(query), "should": _scores(query)}},
        "sort": _SORTS[query.sort],
        "size": query.limit + 1,
        "timeout": SEARCH_TIMEOUT,
        "track_total_hits": True,
    }
    if query.cursor is not None:
        request["search_after"] = list(decode_cursor(query.cursor, query.sort))
    return request


def to_page(query: Query, response: Response) -> SearchPage:
    """One page of hits, with the cursor of the next one."""
    hits: list[Hit] = response["hits"]["hits"]
    page = fit_to_response(hits[: query.limit], lambda hit: len(hit["_source"]["body"]))
    cursor = None
    if len(hits) > len(page):
        cursor = encode_cursor(query.sort, tuple(int(value) for value in page[-1]["sort"]))
    messages = [to_message(hit["_source"]) for hit in page]
    shown = highlights([message.body for message in messages], query.terms)
    return SearchPage(
        hits=tuple(
            SearchHit(hit["_source"]["chat"], message, highlight)
            for hit, message, highlight in zip(page, messages, shown, strict=True)
        ),
        total=response["hits"]["total"]["value"],
        cursor=cursor,
    )


def _filters(query: Query) -> list[Clause]:
    filters: list[Clause] = [{"term": {"token": query.token}}, {"term": {"deleted": False}}]
    if query.chat is not None:
        filters.append({"term": {"chat": query.chat}})
    if query.sender is not None:
        filters.append({"term": {"sender": query.sender}})
    bounds = {"gte": query.created_from, "lt": query.created_to}
    if created_at := {bound: value for bound, value in bounds.items() if value is not None}:
        filters.append({"range": {"created_at": created_at}})
    return filters + [clause for term in query.terms for clause in _term_filters(term)]


def _term_filters(term: Term) -> list[Clause]:
    # An accent without a letter folds to nothing, and nothing is in every text.
    parts = [_part_filter(part) for part in dict.fromkeys(term.text.split()) if fold(part)]
    return [*parts, _words_filter(term)] if term.phrase else parts


def _part_filter(text: str) -> Clause:
    if len(fold(text)) < PART_CHARS:
        return {"match": {"body.short": {"query": text}}}
    return {"match_phrase": {"body.parts": {"query": text}}}


def _words_filter(term: Term) -> Clause:
    """A term without letters and digits has no words, so this filter lets every message pass."""
    return {"match_phrase": {"body": {"query": term.text, "zero_terms_query": "all"}}}


def _scores(query: Query) -> list[Clause]:
    if query.sort != "relevance":
        return []
    return [
        {"constant_score": {"filter": _words_filter(term)}}
        for term in query.terms
        if not term.phrase
    ]


# Text without spaces takes 1 ms for each 1 kB to index, so even such a request ends before the time-out.
MAX_BULK_BYTES = 2_000_000
# The response to a removal has one header for each 1,000 documents, and Python's `http.client` accepts at
# most 100 headers.
MAX_PURGE_DOCUMENTS = 20_000
_REFUSED = 400
_OLDER_THAN_INDEXED = 409
# The index is blocked, or does not exist.
_NO_WRITES = (403, 404)

Actions = list[tuple[Document, bytes]]


class OpenSearchIndex:
    """The `SearchIndex` port on OpenSearch."""

    def __init__(self, url: str, alias: str = ALIAS) -> None:
        self._connection = Connection(url)
        self._alias = alias

    def index(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Index versions; the highest revision wins. Returns those that were not taken, with reasons."""
        actions, refused = _to_actions(documents)
        for chunk in _chunks(actions):
            refused += self._send(chunk)
        return refused

    def refresh(self) -> None:
        """Make all documents of the index visible."""
        self._connection.call(lambda client: client.indices.refresh(index=self._alias))

    def purge(self, token: AppToken, chats: Sequence[ChatNumber] | None) -> bool:
        """Remove up to `MAX_PURGE_DOCUMENTS` visible documents. True if that was all.

        `chats` None is the whole application. Raises `UnavailableError` if a document changed while it was
        removed.
        """
        conditions: list[dict[str, Any]] = [{"term": {"token": token}}]
        if chats is not None:
            conditions.append({"terms": {"chat": list(chats)}})
        query = {"bool": {"filter": conditions}}
        options = {
            "conflicts": "proceed",
            "routing": token,
            "refresh": "false",
            "max_docs": MAX_PURGE_DOCUMENTS,
        }
        response = self._connection.call(
            lambda client: client.delete_by_query(
                index=self._alias, body={"query": query}, params=options
            )
        )
        if response["failures"] or response["version_conflicts"] or response["timed_out"]:
            raise UnavailableError("OpenSearch: not every document could be removed yet")
        return int(response["deleted"]) < MAX_PURGE_DOCUMENTS

    def search(self, query: Query) -> SearchPage:
        """One page of hits. Raises `InvalidError` for a cursor of another search.

        Raises `UnavailableError` if OpenSearch did not finish in time: a page is never incomplete.
        """
        request = to_request(query)
        options = {
            "routing": query.token,
            "allow_partial_search_results": "false",
            "cancel_after_time_interval": SEARCH_CANCEL_AFTER,
            "request_timeout": REQUEST_TIMEOUT,
        }
        response = self._connection.call(
            lambda client: client.search(index=self._alias, body=request, params=options)
        )
        if response["timed_out"] or response["_shards"]["failed"]:
            raise UnavailableError("OpenSearch: the search was not finished in time")
        return to_page(query, response)

    def ping(self) -> None:
        """Raise `UnavailableError` unless the server responds and the index exists."""
        options = {"request_timeout": REQUEST_TIMEOUT}
        self._connection.call(
            lambda client: client.indices.get_alias(name=self._alias, params=options)
        )

    def _send(self, chunk: Actions) -> list[RefusedDocument]:
        body = b"".join(lines for _, lines in chunk)
        response = self._connection.call(
            lambda client: client.bulk(
                body=body, index=self._alias, params={"require_alias": "true"}
            )
        )
        results = [item["index"] for item in response["items"]]
        refused: list[RefusedDocument] = []
        for (document, _), result in zip(chunk, results, strict=True):
            status = result["status"]
            if status in _NO_WRITES:
                raise OutageError(f"OpenSearch: {status} {_reason(result['error'])}")
            if status >= _REFUSED and status != _OLDER_THAN_INDEXED:
                reason = _reason(result["error"])
                refused.append(RefusedDocument(document, reason, retryable=status != _REFUSED))
        return refused


def _to_actions(documents: Sequence[Document]) -> tuple[Actions, list[RefusedDocument]]:
    actions: Actions = []
    refused: list[RefusedDocument] = []
    for document in documents:
        try:
            actions.append((document, to_action(document)))
        except UnicodeEncodeError as error:
            refused.append(RefusedDocument(document, f"not valid Unicode: {error.reason}"))
    return actions, refused


def _chunks(actions: Actions) -> Iterator[Actions]:
    chunk: Actions = []
    size = 0
    for document, lines in actions:
        if chunk and size + len(lines) > MAX_BULK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append((document, lines))
        size += len(lines)
    if chunk:
        yield chunk


def _reason(error: dict[str, Any]) -> str:
    cause = error.get("caused_by", {}).get("reason")
    return ": ".join(part for part in (error["type"], error.get("reason"), cause) if part)
