"""Filling a new index beside the one in use, and swapping them."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.connection import READ_SECONDS, Connection, Response
from chalicelib.adapters.opensearch.index import MAX_BULK_BYTES, OpenSearchIndex, Refused
from chalicelib.adapters.opensearch.mapping import ALIAS, MAPPINGS, VERSION, migrate, settings
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.queue_records import Document
from chalicelib.operators.scan import ScanPosition

# Indexes and aliases as an operator's tool handles them: which are there, how far, who reads them.

LOOK_EVERY_SECONDS = 0.1


class Indexes:
    """All indexes of one server."""

    def __init__(self, url: str) -> None:
        self.call = Connection(url).call

    def exists(self, index: str) -> bool:
        return self._is(lambda client: client.indices.exists(index=index))

    def id(self, index: str) -> str:
        """Tells it from another index that has its name later."""
        return str(self.settings(index)["uuid"])

    def settings(self, index: str) -> dict[str, Any]:
        found = self.call(lambda client: client.indices.get_settings(index=index))
        return dict(found[index]["settings"]["index"])

    def behind(self, alias: str) -> str | None:
        """The index that the alias stands for; raises `UnavailableError` where it is more than one."""
        if not self._is(lambda client: client.indices.exists_alias(name=alias)):
            return None
        indexes = list(self.call(lambda client: client.indices.get_alias(name=alias)))
        if len(indexes) > 1:
            raise UnavailableError(f"OpenSearch: {alias} stands for {len(indexes)} indexes")
        return indexes[0]

    def update_aliases(self, *actions: dict[str, Any]) -> None:
        """All of it in one step."""
        body = {"actions": list(actions)}
        self.call(lambda client: client.indices.update_aliases(body=body))

    def refresh(self, index: str) -> None:
        self.call(lambda client: client.indices.refresh(index=index))

    def refuse_writes(self, index: str) -> None:
        """Returns when what was on its way is written; what comes later is refused."""
        self.call(lambda client: client.indices.add_block(index=index, block="write"))

    def checkpoints(self, index: str) -> dict[str, int]:
        """Up to which sequence number each shard, and all its copies, have everything."""
        options = {"level": "shards"}
        found = self.call(lambda client: client.indices.stats(index=index, params=options))
        return {
            shard: copy["seq_no"]["global_checkpoint"]
            for shard, copies in found["indices"][index]["shards"].items()
            for copy in copies
            if copy["routing"]["primary"]
        }

    def wait_for_readers(self, index: str) -> None:
        """Until no search reads it; no client waits for an answer longer than this does."""
        until = time.monotonic() + READ_SECONDS
        while self._is_read(index) and time.monotonic() < until:
            time.sleep(LOOK_EVERY_SECONDS)

    def _is_read(self, index: str) -> bool:
        found = self.call(lambda client: client.indices.stats(index=index, metric="search"))
        now = found["indices"][index]["total"]["search"]
        return bool(now["query_current"] or now["fetch_current"] or now["open_contexts"])

    def _is(self, ask: Any) -> bool:
        def answer(client: OpenSearch) -> Response:
            return {"is": ask(client)}

        return bool(self.call(answer)["is"])


# From one index to another: what came into a shard since a sequence number.

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
    answer = indexes.call(lambda client: client.bulk(body=chunk, index=alias, params=options))
    for result in (item["index"] for item in answer["items"]):
        if result["status"] >= _REFUSED and result["status"] != _OLDER_THAN_INDEXED:
            raise UnavailableError(f"OpenSearch: {result['status']} {result['error']}")


# A new index beside the one in use, filled and then swapped in behind the alias.
#
#     open → (fill, note)* → catch_up* → swap → catch_up → finish
#
# How far it is stands in the new index itself (`_meta`), and which index is being filled says a second
# alias (`<alias>-filling`), so that whoever comes after a kill can go on. What was written to the old
# index since the start is found by its sequence numbers, which are a shard's own; the versions decide
# which state is the newer. After the swap the old index refuses writes: what was on its way to it then
# fails, comes again, and finds the new one. Nothing is written to the old one that is not brought over.


class State(msgspec.Struct, frozen=True):
    """How far a reindex is. `checkpoints` is for each shard of `source` what was brought over.

    `source_id` tells the index from another one that has its name later.
    """

    source: str
    source_id: str
    checkpoints: dict[str, int]
    position: ScanPosition = ScanPosition()
    copied: int = 0
    walked: bool = False


class Reindex:
    """One run of it. Only one at a time may work on an alias: that is for the caller to see to.

    `filling` is the second alias; it stands for the new index until `finish`.
    """

    def __init__(self, url: str, alias: str = ALIAS) -> None:
        self._url, self._alias, self.filling = url, alias, f"{alias}-filling"
        self._indexes = Indexes(url)
        self._target = OpenSearchIndex(url, self.filling)
        self.state = State("", "", {})
        self.index = ""
        self.swapped = False

    def open(self) -> bool:
        """Begin, or go on with what was begun: then True. An alias that is missing is put first, so
        that writers and readers have an index at once.
        """
        migrate(self._url, self._alias)
        source, filled = self._indexes.behind(self._alias), self._indexes.behind(self.filling)
        assert source is not None, "just put"
        if filled is not None:
            self.index, self.swapped = filled, filled == source
            self.state = self._read_state()
            if self.swapped or self.state.source_id == self._indexes.id(source):
                return True
            # It was begun beside an index that is no longer in use.
            self._indexes.update_aliases({"remove_index": {"index": filled}})
        self._begin(source)
        return False

    def fill(self, documents: Sequence[Document]) -> Refused:
        """Write states; newer ones stay. Returns those refused for good, with the reason."""
        return self._target.index(documents)

    def note(self, **changes: Any) -> None:
        """Keep how far it is."""
        self.state = msgspec.structs.replace(self.state, **changes)
        body = {"_meta": {"reindex": msgspec.to_builtins(self.state)}}
        self._indexes.call(lambda client: client.indices.put_mapping(index=self.index, body=body))

    def catch_up(self) -> int:
        """Bring over what the old index got since the last time. Returns how much that was."""
        reached = self._indexes.checkpoints(self.state.source)
        self._indexes.refresh(self.state.source)
        brought = 0
        for shard, checkpoint in self.state.checkpoints.items():
            for hits in since(self._indexes, self.state.source, shard, checkpoint):
                bring(self._indexes, self.filling, hits)
                brought += len(hits)
        self.note(checkpoints=reached)
        return brought

    def swap(self) -> None:
        """From here on readers and writers use the new index. May be called again."""
        self._indexes.refresh(self.index)
        source = self.state.source
        if not self.swapped:
            self._indexes.update_aliases(
                {"remove": {"index": source, "alias": self._alias}},
                {"add": {"index": self.index, "alias": self._alias, "is_write_index": True}},
            )
            self.swapped = True
        self._indexes.refuse_writes(source)

    def finish(self) -> None:
        """Remove the old index, when nobody reads it any more, and the mark of the unfinished."""
        self._indexes.wait_for_readers(self.state.source)
        self._indexes.update_aliases(
            {"remove": {"index": self.index, "alias": self.filling}},
            {"remove_index": {"index": self.state.source}},
        )

    def _begin(self, source: str) -> None:
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")
        self.index, self.swapped = f"{self._alias}-v{VERSION}-{now}", False
        self.state = State(source, self._indexes.id(source), self._indexes.checkpoints(source))
        size = self._indexes.settings(source)
        body = {
            "settings": settings(int(size["number_of_shards"])),
            "mappings": {**MAPPINGS, "_meta": {"reindex": msgspec.to_builtins(self.state)}},
            "aliases": {self.filling: {"is_write_index": True}},
        }
        self._indexes.call(lambda client: client.indices.create(index=self.index, body=body))

    def _read_state(self) -> State:
        found = self._indexes.call(lambda client: client.indices.get_mapping(index=self.index))
        return msgspec.convert(found[self.index]["mappings"]["_meta"]["reindex"], State)
