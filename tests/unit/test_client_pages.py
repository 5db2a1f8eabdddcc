"""Iterators over pages and over changes. Pages come from the real application on fakes."""

from typing import Any

import httpx
import pytest
from ordinal_client import NewMessage, NotFoundError

from tests.unit.chatctl_service import Operator
from tests.unit.client_sides import AtOnce, Side, sides

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    """With a chat of 230 messages."""
    operator = Operator(monkeypatch)
    with operator.client() as client:
        client.create_chat("a chat")
        client.create_messages(1, [NewMessage(f"message {i}") for i in range(1, 231)])
    operator.service.ports.persist()
    operator.service.requests.clear()
    return operator


def side(operator: Operator, kind: str) -> Side:
    handler = operator.service.handle_request
    return sides(handler, operator.key, application=operator.token, retries=AtOnce())[kind]


@BOTH
def test_all_messages_are_iterated_in_both_directions(operator: Operator, kind: str) -> None:
    client = side(operator, kind)
    forth = [m.number for m in client.take("messages", 1, after=0, limit=100)]
    assert forth == list(range(1, 231))
    back = [m.number for m in client.take("messages", 1)]
    assert back == list(range(230, 0, -1))
    assert [m.number for m in client.take("messages", 1, before=4)] == [3, 2, 1]


@BOTH
def test_a_page_is_requested_when_it_is_reached(operator: Operator, kind: str) -> None:
    client = side(operator, kind)
    client.take("messages", 1, limit=100, most=100)
    assert len(operator.service.requests) == 1
    client.take("messages", 1, limit=100, most=101)
    assert len(operator.service.requests) == 3


@BOTH
def test_a_failed_page_is_requested_again(operator: Operator, kind: str) -> None:
    operator.service.fail = lambda n: "after" if n == 1 else None
    messages = side(operator, kind).take("messages", 1, after=0, limit=100)
    assert [m.number for m in messages] == list(range(1, 231))
    assert len(operator.service.requests) == 4


@BOTH
def test_a_page_shows_whether_another_follows(operator: Operator, kind: str) -> None:
    client = side(operator, kind)
    page = client.call("list_messages", 1, after=228, limit=1)
    assert [m.body for m in page.items] == ["message 229"]
    assert page.next
    assert client.call("list_messages", 1, after=229).next is None


@BOTH
def test_a_search_continues_by_itself_or_from_its_cursor(operator: Operator, kind: str) -> None:
    client = side(operator, kind)
    hits = client.take("search_hits", "message", sort="number", limit=100)
    assert sorted(hit.number for hit in hits) == list(range(1, 231))
    first = client.call("search_chat_messages", 1, "message", sort="number", limit=100)
    second = client.call(
        "search_chat_messages", 1, "message", sort="number", limit=100, cursor=first.cursor
    )
    assert (first.total, len(second.items)) == (230, 100)
    assert {h.number for h in first.items}.isdisjoint(h.number for h in second.items)
    assert client.call("search_messages", "nowhere").cursor is None


class Feed:
    """Five changes in pages of two, and no others until a test sets `last` higher."""

    def __init__(self) -> None:
        self.last = 5
        self.positions: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        since = request.url.params["since"]
        self.positions.append(since)
        at = int(since)
        until = min(at + 2, self.last)
        items = [self._change(n) for n in range(at + 1, until + 1)]
        following = f"{request.url.path}?since={until}" if until < self.last else None
        return httpx.Response(200, json={"items": items, "since": str(until), "next": following})

    def _change(self, number: int) -> dict[str, Any]:
        return {"type": "deleted", "number": number, "revision": number, "message": None}


@BOTH
def test_changes_are_followed_until_the_last(kind: str) -> None:
    feed = Feed()
    pages = sides(feed)[kind].take("follow_changes", 1)
    assert [[c.number for c in p.items] for p in pages] == [[1, 2], [3, 4], [5]]
    assert [p.since for p in pages] == ["2", "4", "5"]
    assert feed.positions == ["0", "2", "4"]
    assert sides(feed)[kind].take("follow_changes", 1, since="5") == []


@BOTH
def test_changes_are_followed_without_end_if_the_caller_sets_a_pause(kind: str) -> None:
    feed = Feed()

    def handler(request: httpx.Request) -> httpx.Response:
        if len(feed.positions) == 6:  # after three requests that got nothing
            feed.last = 6
        return feed(request)

    pages = sides(handler)[kind].take("follow_changes", 1, since="3", pause_seconds=0, most=2)
    assert [[c.number for c in p.items] for p in pages] == [[4, 5], [6]]
    assert feed.positions == ["3", *["5"] * 6]


def message(body: str) -> dict[str, Any]:
    at = "2026-01-31T12:00:00.000Z"
    return {
        "number": 1,
        "body": body,
        "sender": None,
        "metadata": None,
        "revision": 4,
        "created_at": at,
        "edited_at": at,
        "a field of a later version": {"x": 1},
    }


# The page of a later version of the service: one unknown type of change, and unknown fields at each level.
LATER_PAGES: dict[str, dict[str, Any]] = {
    "0": {
        "items": [
            {"type": "a type of a later version", "reaction": {"emoji": "tea"}},
            {"type": "edited", "number": 1, "revision": 4, "message": message("ho"), "new": 1},
        ],
        "since": "2",
        "next": None,
        "new": 1,
    },
    "2": {"items": [{"type": "a type of a later version"}], "since": "3", "next": None},
    "3": {"items": [], "since": "3", "next": None},
}


def later_service(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=LATER_PAGES[request.url.params["since"]])


@BOTH
def test_unknown_fields_and_unknown_types_of_changes_are_skipped(kind: str) -> None:
    client = sides(later_service)[kind]
    page = client.call("list_changes", 1, since="0")
    assert [(c.type, c.number, c.message.body) for c in page.items] == [("edited", 1, "ho")]
    assert page.since == "2"
    skipped = client.call("list_changes", 1, since=page.since)
    assert (skipped.items, skipped.since) == ((), "3")


@BOTH
def test_the_position_moves_on_over_unknown_types_of_changes(kind: str) -> None:
    positions: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        positions.append(request.url.params["since"])
        return later_service(request) if len(positions) < 4 else httpx.Response(404)

    with pytest.raises(NotFoundError):
        sides(handler)[kind].take("follow_changes", 1, pause_seconds=0)
    assert positions == ["0", "2", "3", "3"]
