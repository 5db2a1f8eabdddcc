"""Searching a million messages: the adapter against the same request without the adapter."""

from collections.abc import Callable, Iterator
from itertools import batched, islice
from statistics import quantiles

from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.index import ALIAS, OpenSearchIndex, to_action, to_request
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from chalicelib.domain.queue_records import Document
from chalicelib.domain.search import Query, parse_query
from tests.bench.harness import Harness
from tests.bench.measure import by_turns, compared, many, plain, timed
from tests.bench.pipeline import NOW, lines, vocabulary
from tests.bench.rows import Row

MESSAGES, CHATS, AT_ONCE = 1_000_000, 20, 500
ROUNDS, CALLS = 25, 8
TOKEN = AppToken("5ea4c4" * 5)
# The ranks of the words in the vocabulary.
RANKS = {"frequent word": (40,), "rare word": (9_000,), "two words": (40, 700)}


def search(harness: Harness) -> Iterator[Row]:
    client, index = (
        OpenSearch(harness.opensearch_url, timeout=60),
        OpenSearchIndex(harness.opensearch_url),
    )
    _fill(client)
    words = vocabulary()
    queries = {name: " ".join(words[rank] for rank in ranks) for name, ranks in RANKS.items()}
    queries["part of a word"] = words[9_000][1:6]
    for scope, chat in (("one chat", ChatNumber(7)), ("application", None)):
        for name, text in queries.items():
            query = Query(
                token=TOKEN,
                chat=chat,
                terms=parse_query(text),
                limit=20,
            )
            single: list[float] = []
            works = [
                many(_timed(_ours(index, query), single), CALLS),
                many(_raw(client, query), CALLS),
            ]
            ours, raw = (
                [t.wall / CALLS * 1e3 for t in rounds] for rounds in by_turns(works, ROUNDS, 3)
            )
            yield compared(f"search, {scope}, {name}", "ms", ours, raw, most=1.2)
            yield plain(f"search, {scope}, {name}, p99", "ms", [quantiles(single, n=100)[98]])


def _timed(work: Callable[[], None], took: list[float]) -> Callable[[], None]:
    """The same work. It appends the milliseconds of each call to `took`."""

    def timed_work() -> None:
        took.append(timed(work).wall * 1e3)

    return timed_work


def _ours(index: OpenSearchIndex, query: Query) -> Callable[[], None]:
    def work() -> None:
        assert index.search(query).hits

    return work


def _raw(client: OpenSearch, query: Query) -> Callable[[], None]:
    body = to_request(query)

    def work() -> None:
        response = client.search(index=ALIAS, body=body, params={"routing": query.token})
        assert response["hits"]["hits"]

    return work


def _fill(client: OpenSearch) -> None:
    """Index the documents that the worker would index, but without the worker."""
    texts = islice(lines(1), MESSAGES)
    documents = (
        Document(
            token=TOKEN,
            chat=ChatNumber(1 + i % CHATS),
            message=Message(
                number=MessageNumber(1 + i // CHATS),
                revision=Revision(1),
                body=body,
                sender=f"user{i % 50}",
                created_at=Timestamp(NOW),
            ),
        )
        for i, body in enumerate(texts)
    )
    for batch in batched(documents, AT_ONCE):
        response = client.bulk(body=b"".join(map(to_action, batch)), index=ALIAS)
        assert not response["errors"]
    client.indices.refresh(index=ALIAS)
