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


def query() -> Query:
    return Query(token="t", terms=TERMS, limit=10, sort="number")


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
    assert (before.left - in_chat.left, in_chat.left - in_all.left) == (10 + 3 + 1, 20 + 3 + 1)


def test_a_user_who_only_searches_is_limited_after_few_searches(
    ports: FakePorts, limited: Tenant
) -> None:
    size = limited.buckets[0].size
    for _ in range(size // 24):
        search_messages(ports, limited, query())
    with pytest.raises(RateLimitedError):
        search_messages(ports, limited, query())


class Server:
    """OpenSearch without messages. It records the requests."""

    def __init__(self, **others: Any) -> None:
        self._others = others
        self.requests: list[dict[str, Any]] = []

    def search(self, index: str, body: dict[str, Any], params: dict[str, str]) -> Response:
        self.requests.append({**body, **params})
        empty = {"total": {"value": 0, "relation": "eq"}, "hits": []}
        return {"timed_out": False, "_shards": {"failed": 0}, "hits": empty} | self._others

    def call(self, request: Callable[["Server"], Response]) -> Response:
        return request(self)


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
        index_on(Server(**others)).search(query())


def test_opensearch_stops_a_search_before_its_client_gives_up() -> None:
    server = Server()
    index_on(server).search(query())
    [request] = server.requests
    assert (request["timeout"], request["cancel_after_time_interval"]) == ("3s", "3500ms")
    assert request["request_timeout"].read_timeout == 4
