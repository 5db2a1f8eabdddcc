"""Indexes and aliases as an operator's tool handles them: which are there, how far, who reads them."""

import time
from typing import Any

from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.connection import READ_SECONDS, Answer, Connection
from chalicelib.domain.errors import UnavailableError

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
        def look(client: OpenSearch) -> Answer:
            return {"is": ask(client)}

        return bool(self.call(look)["is"])
