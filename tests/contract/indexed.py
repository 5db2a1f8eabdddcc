"""Messages in a real MySQL and in a real OpenSearch, stored as the workers store them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opensearchpy import OpenSearch

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.adapters.opensearch.index import OpenSearchIndex
from chalicelib.adapters.opensearch.mapping import migrate
from chalicelib.domain.models import Message
from chalicelib.domain.queue_records import Document
from chalicelib.operators.index_reader import IndexReader
from chalicelib.operators.scan import MessageScanner, ScanPosition
from chalicelib.usecases.search import remove_from_index
from tests.contract.conftest import part_url
from tests.contract.databases import migrated_database
from tests.contract.factories import LEASE, NOW, chat, chats, message, messages

WINDOW = 1_000


class Indexed:
    """A database of its own and an index of its own."""

    def __init__(self, mysql_url: str, opensearch_url: str) -> None:
        self.mysql_url, self.opensearch_url = mysql_url, opensearch_url
        self.alias = f"test-{secrets.token_hex(6)}"
        self.store = MySqlStore(mysql_url)
        self.index = OpenSearchIndex(opensearch_url, self.alias)
        self.reader = IndexReader(opensearch_url, self.alias)
        self.client = OpenSearch(opensearch_url)
        self._scanners: list[MessageScanner] = []

    def application(self, chat_numbers: int = 1) -> str:
        token = secrets.token_hex(15)
        self.store.applications.create_application(token, "a", NOW)
        versions = [chat(number) for number in range(1, chat_numbers + 1)]
        self.store.persistence.persist_chats([chats(token, *versions)], WINDOW)
        return token

    def store_and_index(self, token: str, chat: int, *versions: Message) -> None:
        self.index.index(self.store_only(token, chat, *versions))

    def store_only(self, token: str, chat: int, *versions: Message) -> list[Document]:
        record = messages(token, *versions, chat=chat, lease=LEASE)
        return list(self.store.persistence.persist_messages([record], WINDOW).documents)

    def fill(self, token: str, chat: int, count: int) -> None:
        self.store_and_index(token, chat, *(message(number) for number in range(1, count + 1)))

    def delete_chat(self, token: str, number: int) -> None:
        """Store the deletion, and remove the chat's documents from the index."""
        deletion = chat(number, 2, deleted_at=NOW)
        self.store.persistence.persist_chats([chats(token, deletion)], WINDOW)
        remove_from_index(self.index, token, [number])

    def scanner(self, chunk_messages: int = 10) -> MessageScanner:
        """A new scanner with a connection of its own."""
        self._scanners.append(MessageScanner(self.mysql_url, chunk_messages))
        return self._scanners[-1]

    def stored(self) -> dict[tuple[str, int, int], int]:
        """The revisions in MySQL."""
        scanner = self.scanner()
        return {
            (chunk.token, *key): revision
            for chunk in scanner.chunks(ScanPosition())
            for key, revision in scanner.revisions(chunk).items()
        }

    def indexed(self) -> dict[tuple[str, int, int], int]:
        """The revisions in OpenSearch."""
        self.reader.refresh()
        body = {"size": 10_000, "version": True, "query": {"match_all": {}}}
        hits: list[Any] = self.client.search(index=self.alias, body=body)["hits"]["hits"]
        assert len(hits) < 10_000
        return {
            (h["_source"]["token"], h["_source"]["chat"], h["_source"]["number"]): h["_version"]
            for h in hits
        }

    def indexes(self) -> list[str]:
        return sorted(self.client.indices.get(index=f"{self.alias}-*", params={}))

    def close(self) -> None:
        for name in self.indexes():
            self.client.indices.delete(index=name)
        for scanner in self._scanners:
            scanner.close()
        self.client.close()
        self.store.close()


@contextmanager
def indexed() -> Iterator[Indexed]:
    with migrated_database("mariadb") as url:
        made = Indexed(url, part_url("opensearch"))
        migrate(made.opensearch_url, made.alias, shards=2)
        try:
            yield made
        finally:
            made.close()
