"""A new index beside the one in use, filled and then swapped in behind the alias.

    open → (fill, note)* → catch_up* → swap → catch_up → finish

How far it is stands in the new index itself (`_meta`), and which index is being filled says a second
alias (`<alias>-filling`), so that whoever comes after a kill can go on. What was written to the old
index since the start is found by its sequence numbers, which are a shard's own; the versions decide
which state is the newer. After the swap the old index refuses writes: what was on its way to it then
fails, comes again, and finds the new one. Nothing is written to the old one that is not brought over.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from chalicelib.adapters.opensearch.carry import bring, since
from chalicelib.adapters.opensearch.index import OpenSearchIndex, Refused
from chalicelib.adapters.opensearch.indexes import Indexes
from chalicelib.adapters.opensearch.mapping import ALIAS, MAPPINGS, VERSION, settings
from chalicelib.adapters.opensearch.migrate import migrate
from chalicelib.domain.records import Document
from chalicelib.domain.slices import Position


class State(msgspec.Struct, frozen=True):
    """How far a reindex is. `checkpoints` is for each shard of `source` what was brought over.

    `source_id` tells the index from another one that has its name later.
    """

    source: str
    source_id: str
    checkpoints: dict[str, int]
    position: Position = Position()
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
