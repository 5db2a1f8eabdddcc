"""What an index holds, without the text of users: to compare it with MySQL."""

from collections.abc import Iterator
from typing import Any

import msgspec

from chalicelib.adapters.opensearch.index import ALIAS, Connection, Response
from chalicelib.domain.models import AppToken
from chalicelib.operators.scan import ChatKey, Chunk

HITS_A_PAGE = 2_000
CHATS_A_PAGE = 1_000
IN_ORDER = [{"chat": "asc"}, {"number": "asc"}]


class IndexedChat(msgspec.Struct, frozen=True):
    """A chat that has documents in the index: how many, and its highest message number."""

    key: ChatKey
    documents: int
    last: int


class IndexReader:
    """Reads one index or alias. It sees a document only after a refresh."""

    def __init__(self, url: str, index: str = ALIAS) -> None:
        self._connection = Connection(url)
        self._index = index

    def refresh(self) -> None:
        self._connection.call(lambda client: client.indices.refresh(index=self._index))

    def revisions(self, chunk: Chunk) -> dict[tuple[int, int], int]:
        """The revision of each (chat, message), deleted messages too."""
        revisions: dict[tuple[int, int], int] = {}
        body: dict[str, Any] = {
            "query": {"bool": {"filter": _conditions(chunk)}},
            "sort": IN_ORDER,
            "size": HITS_A_PAGE,
            "version": True,
            "_source": False,
            "track_total_hits": False,
        }
        while hits := self._search(body, chunk.token)["hits"]["hits"]:
            revisions |= {(hit["sort"][0], hit["sort"][1]): hit["_version"] for hit in hits}
            body["search_after"] = hits[-1]["sort"]
            if len(hits) < HITS_A_PAGE:
                break
        return revisions

    def chats(self, only: AppToken | None = None) -> Iterator[list[IndexedChat]]:
        """All chats of one application, or of all applications, a page at a time."""
        sources = [{name: {"terms": {"field": name}}} for name in ("token", "chat")]
        composite: dict[str, Any] = {"size": CHATS_A_PAGE, "sources": sources}
        body: dict[str, Any] = {
            "size": 0,
            "query": {"match_all": {}} if only is None else {"term": {"token": only}},
            "aggs": {
                "chats": {
                    "composite": composite,
                    "aggs": {"last": {"max": {"field": "number"}}},
                }
            },
        }
        while True:
            page = self._search(body, only)["aggregations"]["chats"]
            if not page["buckets"]:
                return
            yield [_chat(bucket) for bucket in page["buckets"]]
            composite["after"] = page["after_key"]

    def _search(self, body: dict[str, Any], routing: str | None) -> Response:
        options = {"allow_partial_search_results": "false"}
        if routing is not None:
            options["routing"] = routing
        return self._connection.call(
            lambda client: client.search(
                index=self._index, body=body, params=options, request_timeout=60
            )
        )


def _conditions(chunk: Chunk) -> list[dict[str, Any]]:
    return [
        {"term": {"token": chunk.token}},
        {"terms": {"chat": [number for number, _ in chunk.chats]}},
        {"range": {"number": {"gt": chunk.above, "lte": chunk.up_to}}},
    ]


def _chat(bucket: dict[str, Any]) -> IndexedChat:
    key = bucket["key"]
    return IndexedChat(
        (key["token"], key["chat"]), bucket["doc_count"], int(bucket["last"]["value"])
    )
