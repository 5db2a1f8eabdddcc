"""The search index on OpenSearch: writes, removals and searches, all through one alias.

An index that is not there is never made up on the way (`require_alias`): it would get a guessed
mapping, and parts of words would never be found again. `migrate.py` puts it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.connection import REQUEST_TIMEOUT, Answer, Connection
from chalicelib.adapters.opensearch.document import to_action
from chalicelib.adapters.opensearch.mapping import ALIAS
from chalicelib.adapters.opensearch.search import to_found, to_request
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.records import Document
from chalicelib.domain.search import Found, Query

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
