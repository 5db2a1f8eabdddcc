"""The benchmark `neighbour`: what its tenants send, and how a run is judged."""

from collections import Counter

import pytest

from app import app
from chalicelib.domain.limits import MAX_REQUEST_BYTES
from chalicelib.domain.models import AppToken
from tests.bench.clients import Outcome, Requests
from tests.bench.floods import (
    FLOODS,
    LARGEST_BATCH,
    LONG_BODY_CHARS,
    LargeBatches,
    Neighbour,
    Posts,
    Tenant,
    WaitingRecords,
)
from tests.bench.neighbour import ROUNDS, SECONDS, Run, rows_of
from tests.bench.rows import Row

TENANT = Tenant(AppToken("5ea4c4" * 5), "ok_1_x")
PLANNED = int(Neighbour.per_second * SECONDS)
HTTP_FLOODS = [f for f in (*FLOODS, Posts) if f not in (WaitingRecords, LargeBatches)]


@pytest.mark.parametrize("load", [Neighbour, *HTTP_FLOODS])
def test_all_requests_go_to_routes_that_exist(load: type[Neighbour]) -> None:
    requests: Requests = load(TENANT)
    for number in range(40):
        event = requests.next_event(number)
        assert event["httpMethod"] in app.routes[event["resource"]]


def test_the_neighbour_reads_posts_searches_and_follows_changes() -> None:
    requests = Neighbour(TENANT)
    events = [requests.next_event(number) for number in range(20)]
    kinds = Counter((event["httpMethod"], event["resource"].split("/")[-1]) for event in events)
    assert kinds == {
        ("GET", "messages"): 9,
        ("POST", "messages"): 5,
        ("GET", "changes"): 5,
        ("GET", "search"): 1,
    }


def test_the_largest_batch_is_as_large_as_a_request_may_be() -> None:
    a_message = len('{"body": ""}, ') + LONG_BODY_CHARS
    assert MAX_REQUEST_BYTES - a_message < LARGEST_BATCH * a_message <= MAX_REQUEST_BYTES


def outcome(ms: float, replies: dict[str, int], busy: float = 0.5) -> Outcome:
    return Outcome([ms / 1000] * sum(replies.values()), Counter(replies), busy)


def judged(beside: Outcome, control: Outcome) -> dict[str, Row]:
    run = Run([beside] * ROUNDS, [outcome(1, {"429 rate-limited": 7, "202": 3})], [control])
    return {row.name.removeprefix("neighbour, x, "): row for row in rows_of("x", run)}


def test_a_neighbour_that_is_served_as_fast_as_in_the_control_reaches_the_goals() -> None:
    rows = judged(outcome(14, {"200": PLANNED}), outcome(10, {"200": PLANNED}))
    assert {name: row.reached for name, row in rows.items() if row.goal} == {
        "p99": True,
        "served": True,
        "processors": True,
    }
    assert rows["flood got 429 rate-limited"].value == 7
    assert rows["flood got 202"].value == 3


def test_a_refusal_a_delay_or_a_busy_machine_misses_a_goal() -> None:
    control = outcome(10, {"200": PLANNED})
    refused = judged(outcome(10, {"200": PLANNED - 1, "503 unavailable": 1}), control)
    assert not refused["served"].reached
    assert refused["neighbour got 503 unavailable"].value == ROUNDS
    assert not judged(outcome(10, {"200": PLANNED - 1}), control)["served"].reached
    assert not judged(outcome(16, {"200": PLANNED}), control)["p99"].reached
    assert not judged(outcome(10, {"200": PLANNED}, busy=0.8), control)["processors"].reached
