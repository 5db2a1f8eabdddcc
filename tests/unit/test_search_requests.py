"""What a search takes from the rate limits, and what the index does with the responses of OpenSearch."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.opensearch.index import OpenSearchIndex, Response
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import RateLimitedError, UnavailableError
from chalicelib.domain.models import Chat
from chalicelib.domain.rate_limits import bucket
from chalicelib.domain.search import Query, parse_query
from chalicelib.usecases.accept import create_chat
from chalicelib.usecases.search import search_chat_messages, search_messages
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
TERMS = parse_query('a "b c" d')


def query(limit: int = 10) -> Query:
    return Query(token="t", terms=TERMS, limit=limit, sort="number")


@pytest.fixture
def limited(tenant: Tenant) -> Tenant:
    return replace(tenant, buckets=(bucket(1),))


def test_a_search_takes_more_than_a_read_and_more_for_a_whole_application(
    ports: FakePorts, limited: Tenant
) -> None:
    create_chat(ports, limited, Chat(number=0, revision=0, created_at=NOW))
    [before] = search_messages(ports, limited, query()).remaining
    [in_chat] = search_chat_messages(ports, limited, 1, query()).remaining
    [in_all] = search_messages(ports, limited, query()).remaining
    assert (before.left - in_chat.left, in_chat.left - in_all.left) == (10 + 3, 20 + 3)


def test_a_user_who_only_searches_is_limited_after_few_searches(
    ports: FakePorts, limited: Tenant
) -> None:
    size = limited.buckets[0].size
    for _ in range(size // 23):
        search_messages(ports, limited, query())
    with pytest.raises(RateLimitedError):
        search_messages(ports, limited, query())


class Server:
    """OpenSearch with these bodies of messages, newest first. It records the requests."""

    def __init__(self, *bodies: str, **others: Any) -> None:
        self._bodies, self._others = bodies, others
        self.requests: list[dict[str, Any]] = []

    def search(self, index: str, body: dict[str, Any], params: dict[str, str]) -> Response:
        self.requests.append({**body, **params})
        newest = len(self._bodies)
        [_, last] = body.get("search_after", [1, newest + 1])
        numbers = range(last - 1, max(last - 1 - body["size"], 0), -1)
        hits = [self._hit(number) for number in numbers]
        page = {"total": {"value": newest, "relation": "eq"}, "hits": hits}
        return {"timed_out": False, "_shards": {"failed": 0}, "hits": page} | self._others

    def call(self, request: Callable[["Server"], Response]) -> Response:
        return request(self)

    def _hit(self, number: int) -> dict[str, Any]:
        body = self._bodies[-number]
        source = {"chat": 1, "number": number, "revision": 1, "body": body, "created_at": NOW}
        return {"_source": source, "sort": [1, number]}


def index_on(server: Server) -> OpenSearchIndex:
    index = OpenSearchIndex("http://127.0.0.1:1")
    index._connection = server  # type: ignore[assignment]
    return index


@pytest.mark.parametrize(
    "others",
    [{"timed_out": True}, {"_shards": {"failed": 1}}],
    ids=["timed out", "a shard failed"],
)
def test_a_search_that_was_not_finished_is_never_an_incomplete_page(others: dict[str, Any]) -> None:
    with pytest.raises(UnavailableError, match="not finished"):
        index_on(Server("a", **others)).search(query())


def test_opensearch_stops_a_search_before_its_client_gives_up() -> None:
    server = Server("a")
    index_on(server).search(query())
    [request] = server.requests
    assert (request["timeout"], request["cancel_after_time_interval"]) == ("3s", "3500ms")
    assert request["request_timeout"].read_timeout == 4
    assert request["track_total_hits"] == 10_000


@pytest.mark.parametrize(
    ("limit", "sizes"), [(10, [11]), (50, [51]), (51, [51, 1]), (100, [51, 50])]
)
def test_a_page_of_small_messages_has_as_many_as_the_limit(limit: int, sizes: list[int]) -> None:
    server = Server(*["a"] * 120)
    page = index_on(server).search(query(limit))
    assert [hit.message.number for hit in page.hits] == [*range(120, 120 - limit, -1)]
    assert [request["size"] for request in server.requests] == sizes
    assert (page.total, page.cursor is None) == (120, False)


@pytest.mark.parametrize("count", [50, 51, 52, 100])
def test_the_last_page_has_no_cursor(count: int) -> None:
    page = index_on(Server(*["a"] * count)).search(query(100))
    assert (len(page.hits), page.cursor) == (count, None)


def test_hits_that_do_not_fit_into_the_response_are_not_all_read() -> None:
    server = Server(*["a" * 20_000] * 120)
    page = index_on(server).search(query(100))
    assert [request["size"] for request in server.requests] == [51]
    assert (len(page.hits), page.cursor is None) == (23, False)
