"""Searching a million messages: the adapter against the same request without it."""

from collections.abc import Callable, Iterator
from itertools import batched, islice
from statistics import quantiles

from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch.index import OpenSearchIndex, to_action, to_request
from chalicelib.adapters.opensearch.mapping import ALIAS
from chalicelib.domain.models import Message
from chalicelib.domain.queue_records import Document
from chalicelib.domain.search import Query, parse_query
from tests.bench.flow import NOW
from tests.bench.ground import Ground
from tests.bench.measure import by_turns, compared, many, plain, timed
from tests.bench.rows import Row
from tests.bench.texts import lines, vocabulary

MESSAGES, CHATS, AT_ONCE = 1_000_000, 20, 500
ROUNDS, CALLS = 25, 8
TOKEN = "5ea4c4" * 5
# By the rank of the word in the vocabulary: a frequent word, a rare one, a part, two words.
RANKS = {"frequent word": (40,), "rare word": (9_000,), "two words": (40, 700)}


def search(ground: Ground) -> Iterator[Row]:
    client, index = (
        OpenSearch(ground.opensearch_url, timeout=60),
        OpenSearchIndex(ground.opensearch_url),
    )
    _fill(client)
    words = vocabulary()
    asked = {name: " ".join(words[rank] for rank in ranks) for name, ranks in RANKS.items()}
    asked["part of a word"] = words[9_000][1:6]
    for place, chat in (("one chat", 7), ("application", None)):
        for name, text in asked.items():
            query = Query(token=TOKEN, chat=chat, terms=parse_query(text), limit=20)
            single: list[float] = []
            works = [
                many(_timed(_ours(index, query), single), CALLS),
                many(_raw(client, query), CALLS),
            ]
            ours, raw = (
                [t.wall / CALLS * 1e3 for t in some] for some in by_turns(works, ROUNDS, 3)
            )
            yield compared(f"search, {place}, {name}", "ms", ours, raw, most=1.2)
            yield plain(f"search, {place}, {name}, p99", "ms", [quantiles(single, n=100)[98]])


def _timed(work: Callable[[], None], took: list[float]) -> Callable[[], None]:
    """The same work; how many milliseconds each took is noted."""

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
        found = client.search(index=ALIAS, body=body, params={"routing": query.token})
        assert found["hits"]["hits"]

    return work


def _fill(client: OpenSearch) -> None:
    """As the worker's documents, with less ado."""
    texts = islice(lines(1), MESSAGES)
    documents = (
        Document(
            token=TOKEN,
            chat=1 + at % CHATS,
            message=Message(
                number=1 + at // CHATS,
                revision=1,
                body=body,
                sender=f"user{at % 50}",
                created_at=NOW,
            ),
        )
        for at, body in enumerate(texts)
    )
    for some in batched(documents, AT_ONCE):
        answer = client.bulk(body=b"".join(map(to_action, some)), index=ALIAS)
        assert not answer["errors"]
    client.indices.refresh(index=ALIAS)
