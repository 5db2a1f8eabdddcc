"""From one index to another: what came into a shard since a sequence number."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from chalicelib.adapters.opensearch.index import BULK_BYTES
from chalicelib.adapters.opensearch.indexes import Indexes
from chalicelib.domain.errors import UnavailableError

HITS_AT_ONCE = 500
IN_ORDER = [{"token": "asc"}, {"chat": "asc"}, {"number": "asc"}]
_REFUSED = 400
_OLDER_THAN_INDEXED = 409

Hit = dict[str, Any]


def since(indexes: Indexes, index: str, shard: str, checkpoint: int) -> Iterator[list[Hit]]:
    """What is visible in the shard and came after the checkpoint, some at a time."""
    body: dict[str, Any] = {
        "query": {"range": {"_seq_no": {"gt": checkpoint}}},
        "sort": IN_ORDER,
        "size": HITS_AT_ONCE,
        "version": True,
        "track_total_hits": False,
    }
    options = {"preference": f"_shards:{shard}", "allow_partial_search_results": "false"}
    while hits := indexes.call(
        lambda client: client.search(index=index, body=body, params=options)
    )["hits"]["hits"]:
        yield hits
        body["search_after"] = hits[-1]["sort"]


def bring(indexes: Indexes, alias: str, hits: Sequence[Hit]) -> None:
    """Put them there as they are, under their version: what is newer there stays."""
    chunk = b""
    for hit in hits:
        chunk += b"".join(msgspec.json.encode(part) + b"\n" for part in _lines(hit))
        if len(chunk) > BULK_BYTES:
            _send(indexes, alias, chunk)
            chunk = b""
    if chunk:
        _send(indexes, alias, chunk)


def _lines(hit: Hit) -> tuple[Hit, Hit]:
    head = {
        "_id": hit["_id"],
        "routing": hit["_routing"],
        "version": hit["_version"],
        "version_type": "external",
    }
    return {"index": head}, hit["_source"]


def _send(indexes: Indexes, alias: str, chunk: bytes) -> None:
    options = {"require_alias": "true"}
    answer = indexes.call(lambda client: client.bulk(body=chunk, index=alias, params=options))
    for result in (item["index"] for item in answer["items"]):
        if result["status"] >= _REFUSED and result["status"] != _OLDER_THAN_INDEXED:
            raise UnavailableError(f"OpenSearch: {result['status']} {result['error']}")
