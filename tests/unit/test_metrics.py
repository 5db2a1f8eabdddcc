"""Metrics: noted where they should be, and written as CloudWatch reads them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.adapters.metrics import EmfMeter
from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS
from chalicelib.domain.errors import HeldBackError
from chalicelib.domain.metrics import ALL, NAMESPACE
from chalicelib.usecases.maintenance import QUIET_MS
from tests.fakes.world import FakeWorld
from tests.unit.operator_view import LAG_MS, Functions, operated

DOCUMENT = (Path(__file__).parents[2] / "docs/metrics.md").read_text()


@pytest.fixture
def functions(world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    with operated(world, monkeypatch) as functions:
        yield functions


@pytest.fixture
def chat(functions: Functions) -> Functions:
    """With chat 1, persisted."""
    functions.request("POST", "/chats", {"title": "a chat"})
    functions.work("chats")
    return functions


def post(functions: Functions, *bodies: str) -> int:
    messages = [{"body": body} for body in bodies]
    return functions.request("POST", "/chats/1/messages/batch", {"messages": messages})


def test_the_table_lists_every_metric_with_its_unit_and_dimension() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\S*) *\|", DOCUMENT, re.M)
    assert rows == [(m.name, m.unit, f"`{m.by}`" if m.by else "") for m in ALL]


def test_messages_and_chats_are_counted_at_every_stage(chat: Functions) -> None:
    post(chat, "a", "b", "c")
    chat.request("PATCH", "/chats/1/messages/2", {"body": "d"})
    chat.work("messages")
    chat.work("search")
    counts = chat.world.meter.counts
    assert counts["ChatsAccepted"] == counts["ChatsPersisted"] == 1
    assert (counts["MessagesAccepted"], counts["ChangesAccepted"]) == (3, 1)
    assert counts["MessagesPersisted"] == counts["MessagesIndexed"] == 3
    assert set(chat.world.meter.flushed) == {"api", "workers"}


def test_a_replay_is_not_counted_as_accepted(chat: Functions) -> None:
    for _ in range(3):
        chat.request("POST", "/chats/1/messages", {"body": "x"}, **{"Idempotency-Key": "k"})
    counts = chat.world.meter.counts
    assert (counts["MessagesAccepted"], counts["Replays"]) == (1, 2)


def test_the_lag_of_a_stage_is_how_long_ago_its_records_were_sent(chat: Functions) -> None:
    post(chat, "a")
    chat.work("messages")
    chat.work("search")
    lags = [chat.world.meter.measured[f"RecordLag:{q}"] for q in ("chats", "messages", "search")]
    assert lags == [LAG_MS] * 3


def test_errors_are_counted_by_their_code(chat: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat.request("GET", "/chats/9/messages/9") == 404
    assert post(chat) == 422
    monkeypatch.setattr(chat.world.store, "get_message", None)
    assert chat.request("GET", "/chats/1/messages/1") == 500
    counts = chat.world.meter.counts
    errors = {name: n for name, n in counts.items() if name.startswith("Errors")}
    assert errors == {"Errors:not-found": 1, "Errors:invalid-request": 1, "Errors:internal": 1}


def test_requests_that_are_held_back_are_told_from_those_that_fail(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise HeldBackError("full", 5)

    chat.world.queues.away = True
    assert post(chat, "a") == 503
    assert "RequestsHeldBack" not in chat.world.meter.counts
    monkeypatch.setattr(chat.world.ledger, "accept", full)
    assert post(chat, "a") == 503
    assert chat.world.meter.counts["RequestsHeldBack"] == 1


def test_leases_are_counted_and_a_lost_memory_is_told(chat: Functions) -> None:
    post(chat, "a")
    chat.work("messages")
    counts = chat.world.meter.counts
    assert counts["LeasesBegun"] == 1
    assert "LeasesBegunAnew" not in counts
    post(chat, *"0123456789")
    assert counts["LeasesRaised"] > 0
    chat.world.ledger.wipe()
    post(chat, "b")
    assert counts["LeasesBegunAnew"] > 0
    assert counts["NumbersSkipped"] > 0


def test_a_lease_that_was_given_back_is_not_taken_for_a_lost_one(chat: Functions) -> None:
    post(chat, "a")
    for queue in ("messages", "search"):
        chat.work(queue)
    chat.world.clock.wait(2 * QUIET_MS / 1000)
    chat.minute()
    begun = chat.world.meter.counts["LeasesBegun"]
    assert post(chat, "b") == 202
    assert chat.world.meter.counts["LeasesBegun"] == begun + 1
    assert "LeasesBegunAnew" not in chat.world.meter.counts
    assert chat.world.meter.counts.get("NumbersSkipped", 0) == 0


def test_the_schedule_tells_how_old_the_oldest_pending_entry_is(chat: Functions) -> None:
    measured = chat.world.meter.measured
    chat.minute()
    assert measured["OldestPendingAge"] == 0
    post(chat, "lost")
    chat.world.queues.take("messages")
    chat.world.clock.wait(OVERDUE_AFTER_MS / 1000 + 1)
    post(chat, "young")
    chat.minute()
    assert measured["OldestPendingAge"] == OVERDUE_AFTER_MS + 1000
    assert chat.world.meter.counts["SentAgain"] == 1
    assert [(line["chat"], line["first"]) for line in chat.lines("sent again")] == [(1, 1)]


def test_dead_letters_are_counted_when_buried_and_as_they_stand(chat: Functions) -> None:
    chat.work("messages", "not a record")
    chat.minute()
    meter = chat.world.meter
    assert meter.counts["RecordsBuried:messages"] == 1
    assert meter.measured["DeadLetters:messages"] == 1
    assert meter.measured["DeadLetters:search"] == 0


def test_a_task_that_fails_does_not_keep_the_schedule_from_the_others(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.work("messages", "not a record")
    chat.world.queues.away = True
    with pytest.raises(Exception, match="SQS is away"):
        chat.minute()
    assert "OldestPendingAge" in chat.world.meter.measured
    assert [line["task"] for line in chat.lines("a task failed")] == ["dead_letters"]
    assert chat.world.meter.flushed[-1] == "schedules"


def test_the_adapter_writes_what_cloudwatch_reads(capsys: pytest.CaptureFixture[str]) -> None:
    meter = EmfMeter("a-stage")
    for metric in ALL:
        of = "x" if metric.by else None
        if metric.unit == "Count":
            meter.count(metric, 2, of)
            meter.count(metric, 3, of)
        else:
            meter.measure(metric, 2.5, of)
    meter.flush("a-service")
    found = {}
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == NAMESPACE
        [dimensions] = directive["Dimensions"]
        assert (line["stage"], line["service"]) == ("a-stage", "a-service")
        for metric in directive["Metrics"]:
            by = set(dimensions) - {"stage", "service"}
            found[metric["Name"]] = (metric["Unit"], by, line[metric["Name"]])
    assert found == {
        m.name: (m.unit, {m.by} if m.by else set(), [5.0] if m.unit == "Count" else [2.5])
        for m in ALL
    }


def test_what_was_flushed_is_not_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    meter = EmfMeter("a-stage")
    meter.count(ALL[0])
    meter.flush("api")
    meter.count(ALL[0], 0)
    meter.flush("api")
    assert len(capsys.readouterr().out.splitlines()) == 1
