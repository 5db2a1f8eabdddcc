"""Fill a new index beside the one in use, and swap them behind the alias.

    open → (fill, save_progress)* → catch_up* → swap → catch_up → finish

The progress is stored in the new index itself (`_meta`), and a second alias (`<alias>-filling`) names the
index that is being filled. So a run that was killed can be continued by another process.

What was written to the old index since the start is found by its sequence numbers, which each shard has of
its own. The versions of the documents decide which one is newer. After the swap the old index refuses
writes: a worker that wanted to write there fails, tries again, and finds the new index. So nothing is written
to the old index that is not copied.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.index import (
    ALIAS,
    MAX_BULK_BYTES,
    READ_SECONDS,
    Connection,
    OpenSearchIndex,
    Response,
)
from chalicelib.adapters.opensearch.mapping import MAPPINGS, VERSION, migrate, settings
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.queue_records import Document, RefusedDocument
from chalicelib.operators.scan import ScanPosition

HITS_A_PAGE = 500
IN_ORDER = [{"token": "asc"}, {"chat": "asc"}, {"number": "asc"}]
_READERS_POLL_SECONDS = 0.1
_FAILED = 400
_OLDER_THAN_INDEXED = 409

Hit = dict[str, Any]


class SwapProgress(msgspec.Struct, frozen=True):
    """How far a reindex is. `checkpoints` has the last copied sequence number of each shard of `source`.

    `source_id` differs if another index gets the name of `source` later.
    """

    source: str
    source_id: str
    checkpoints: dict[str, int]
    position: ScanPosition = ScanPosition()
    copied: int = 0
    scanned: bool = False


class IndexSwap:
    """One run. The caller must see to it that only one runs for an alias at a time.

    `filling` is the second alias: it names the new index until `finish`.
    """

    def __init__(self, url: str, alias: str = ALIAS) -> None:
        self._url, self._alias, self.filling = url, alias, f"{alias}-filling"
        self._indexes = Indexes(url)
        self._target = OpenSearchIndex(url, self.filling)
        self.progress = SwapProgress("", "", {})
        self.index = ""
        self.swapped = False

    def open(self) -> bool:
        """Start, or continue what was started and return True.

        If the alias is missing, it gets an empty index first, so that writers and readers have one.
        """
        migrate(self._url, self._alias)
        source, target = self._indexes.index_of(self._alias), self._indexes.index_of(self.filling)
        assert source is not None, "migrate has made it"
        if target is not None:
            self.index, self.swapped = target, target == source
            self.progress = self._read_progress()
            if self.swapped or self.progress.source_id == self._indexes.id(source):
                return True
            # It was started beside an index that is not in use any more.
            self._indexes.update_aliases({"remove_index": {"index": target}})
        self._create(source)
        return False

    def fill(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Write versions; newer ones stay. Returns those that were refused for good, and why."""
        refused = self._target.index(documents)
        for item in refused:
            if item.retryable:
                raise UnavailableError(f"OpenSearch: {item.reason}")
        return refused

    def save_progress(self, **changes: Any) -> None:
        """Store the progress in the new index."""
        self.progress = msgspec.structs.replace(self.progress, **changes)
        body = {"_meta": {"reindex": msgspec.to_builtins(self.progress)}}
        self._indexes.call(lambda client: client.indices.put_mapping(index=self.index, body=body))

    def catch_up(self) -> int:
        """Copy what the old index got since the last time. Returns how many documents that were."""
        reached = self._indexes.checkpoints(self.progress.source)
        self._indexes.refresh(self.progress.source)
        copied = 0
        for shard, checkpoint in self.progress.checkpoints.items():
            for hits in hits_since(self._indexes, self.progress.source, shard, checkpoint):
                copy_hits(self._indexes, self.filling, hits)
                copied += len(hits)
        self.save_progress(checkpoints=reached)
        return copied

    def swap(self) -> None:
        """From now on readers and writers use the new index. It may be called again."""
        self._indexes.refresh(self.index)
        source = self.progress.source
        if not self.swapped:
            self._indexes.update_aliases(
                {"remove": {"index": source, "alias": self._alias}},
                {"add": {"index": self.index, "alias": self._alias, "is_write_index": True}},
            )
            self.swapped = True
        self._indexes.refuse_writes(source)

    def finish(self) -> None:
        """Remove the second alias, and the old index when nobody reads it any more."""
        self._indexes.wait_for_readers(self.progress.source)
        self._indexes.update_aliases(
            {"remove": {"index": self.index, "alias": self.filling}},
            {"remove_index": {"index": self.progress.source}},
        )

    def _create(self, source: str) -> None:
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")
        self.index, self.swapped = f"{self._alias}-v{VERSION}-{now}", False
        self.progress = SwapProgress(
            source, self._indexes.id(source), self._indexes.checkpoints(source)
        )
        size = self._indexes.settings(source)
        body = {
            "settings": settings(int(size["number_of_shards"])),
            "mappings": {**MAPPINGS, "_meta": {"reindex": msgspec.to_builtins(self.progress)}},
            "aliases": {self.filling: {"is_write_index": True}},
        }
        self._indexes.call(lambda client: client.indices.create(index=self.index, body=body))

    def _read_progress(self) -> SwapProgress:
        mappings = self._indexes.call(lambda client: client.indices.get_mapping(index=self.index))
        return msgspec.convert(mappings[self.index]["mappings"]["_meta"]["reindex"], SwapProgress)


class Indexes:
    """All indexes and aliases of one server."""

    def __init__(self, url: str) -> None:
        self.call = Connection(url).call

    def id(self, index: str) -> str:
        """The UUID: it differs if another index gets the same name later."""
        return str(self.settings(index)["uuid"])

    def settings(self, index: str) -> dict[str, Any]:
        settings = self.call(lambda client: client.indices.get_settings(index=index))
        return dict(settings[index]["settings"]["index"])

    def index_of(self, alias: str) -> str | None:
        """The index of an alias. Raises `UnavailableError` if it has more than one."""
        if not self._is(lambda client: client.indices.exists_alias(name=alias)):
            return None
        indexes = list(self.call(lambda client: client.indices.get_alias(name=alias)))
        if len(indexes) > 1:
            raise UnavailableError(f"OpenSearch: {alias} has {len(indexes)} indexes")
        return indexes[0]

    def update_aliases(self, *actions: dict[str, Any]) -> None:
        """Apply all actions in one atomic step."""
        body = {"actions": list(actions)}
        self.call(lambda client: client.indices.update_aliases(body=body))

    def refresh(self, index: str) -> None:
        self.call(lambda client: client.indices.refresh(index=index))

    def refuse_writes(self, index: str) -> None:
        """Refuse later writes. Returns when all earlier writes are done."""
        self.call(lambda client: client.indices.add_block(index=index, block="write"))

    def checkpoints(self, index: str) -> dict[str, int]:
        """The sequence number of each shard up to which the shard and its copies have all documents."""
        options = {"level": "shards"}
        stats = self.call(lambda client: client.indices.stats(index=index, params=options))
        return {
            shard: copy["seq_no"]["global_checkpoint"]
            for shard, copies in stats["indices"][index]["shards"].items()
            for copy in copies
            if copy["routing"]["primary"]
        }

    def wait_for_readers(self, index: str) -> None:
        """Wait until no search reads the index, or until every client has given up waiting."""
        until = time.monotonic() + READ_SECONDS
        while self._is_read(index) and time.monotonic() < until:
            time.sleep(_READERS_POLL_SECONDS)

    def _is_read(self, index: str) -> bool:
        stats = self.call(lambda client: client.indices.stats(index=index, metric="search"))
        now = stats["indices"][index]["total"]["search"]
        return bool(now["query_current"] or now["fetch_current"] or now["open_contexts"])

    def _is(self, query: Any) -> bool:
        def call(client: OpenSearch) -> Response:
            return {"is": query(client)}

        return bool(self.call(call)["is"])


def hits_since(indexes: Indexes, index: str, shard: str, checkpoint: int) -> Iterator[list[Hit]]:
    """The visible documents of a shard with sequence numbers above the checkpoint, a page at a time."""
    body: dict[str, Any] = {
        "query": {"range": {"_seq_no": {"gt": checkpoint}}},
        "sort": IN_ORDER,
        "size": HITS_A_PAGE,
        "version": True,
        "track_total_hits": False,
    }
    options = {"preference": f"_shards:{shard}", "allow_partial_search_results": "false"}
    while hits := indexes.call(
        lambda client: client.search(index=index, body=body, params=options)
    )["hits"]["hits"]:
        yield hits
        body["search_after"] = hits[-1]["sort"]


def copy_hits(indexes: Indexes, alias: str, hits: Sequence[Hit]) -> None:
    """Write documents with their versions. A newer version that the index has stays."""
    chunk = b""
    for hit in hits:
        chunk += b"".join(msgspec.json.encode(part) + b"\n" for part in _lines(hit))
        if len(chunk) > MAX_BULK_BYTES:
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
    response = indexes.call(lambda client: client.bulk(body=chunk, index=alias, params=options))
    for result in (item["index"] for item in response["items"]):
        if result["status"] >= _FAILED and result["status"] != _OLDER_THAN_INDEXED:
            raise UnavailableError(f"OpenSearch: {result['status']} {result['error']}")
