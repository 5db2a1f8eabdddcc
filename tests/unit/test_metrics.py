"""Metrics are counted at each stage, and written in CloudWatch's format."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS
from chalicelib.adapters.runtime import EmfMetrics
from chalicelib.domain.errors import BackpressureError
from chalicelib.domain.metrics import ALL, NAMESPACE
from chalicelib.usecases.maintenance import IDLE_MS
from tests.fakes.ports import FakePorts
from tests.unit.operator_view import LAG_MS, Functions, operated

DOCUMENT = (Path(__file__).parents[2] / "docs/metrics.md").read_text()


@pytest.fixture
def functions(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    with operated(ports, monkeypatch) as functions:
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
    counts = chat.ports.metrics.counts
    assert counts["ChatsAccepted"] == counts["ChatsPersisted"] == 1
    assert (counts["MessagesAccepted"], counts["ChangesAccepted"]) == (3, 1)
    assert counts["MessagesPersisted"] == counts["MessagesIndexed"] == 3
    assert set(chat.ports.metrics.flushed) == {"api", "workers"}


def test_a_replay_is_not_counted_as_accepted(chat: Functions) -> None:
    for _ in range(3):
        chat.request("POST", "/chats/1/messages", {"body": "x"}, **{"Idempotency-Key": "k"})
    counts = chat.ports.metrics.counts
    assert (counts["MessagesAccepted"], counts["IdempotentReplays"]) == (1, 2)


def test_the_lag_of_a_stage_is_how_long_ago_its_records_were_sent(chat: Functions) -> None:
    post(chat, "a")
    chat.work("messages")
    chat.work("search")
    lags = [chat.ports.metrics.measured[f"RecordLag:{q}"] for q in ("chats", "messages", "search")]
    assert lags == [LAG_MS] * 3


def test_errors_are_counted_by_their_code(chat: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat.request("GET", "/chats/9/messages/9") == 404
    assert post(chat) == 422
    monkeypatch.setattr(chat.ports.store.messages, "get_message", None)
    assert chat.request("GET", "/chats/1/messages/1") == 500
    counts = chat.ports.metrics.counts
    errors = {name: n for name, n in counts.items() if name.startswith("Errors")}
    assert errors == {"Errors:not-found": 1, "Errors:invalid-request": 1, "Errors:internal": 1}


def test_backpressure_is_counted_apart_from_errors(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise BackpressureError("full", 5)

    chat.ports.queues.is_down = True
    assert post(chat, "a") == 503
    assert "BackpressureRefusals" not in chat.ports.metrics.counts
    monkeypatch.setattr(chat.ports.sequencer, "accept", full)
    assert post(chat, "a") == 503
    assert chat.ports.metrics.counts["BackpressureRefusals"] == 1


def test_acquired_and_lost_leases_are_counted(chat: Functions) -> None:
    post(chat, "a")
    chat.work("messages")
    counts = chat.ports.metrics.counts
    assert counts["LeasesAcquired"] == 1
    assert "LeasesReacquired" not in counts
    post(chat, *"0123456789")
    assert counts["LeasesExtended"] > 0
    chat.ports.sequencer.wipe()
    post(chat, "b")
    assert counts["LeasesReacquired"] > 0
    assert counts["NumbersSkipped"] > 0


def test_a_released_lease_does_not_count_as_lost(chat: Functions) -> None:
    post(chat, "a")
    for queue in ("messages", "search"):
        chat.work(queue)
    chat.ports.clock.wait(2 * IDLE_MS / 1000)
    chat.minute()
    grant = chat.ports.metrics.counts["LeasesAcquired"]
    assert post(chat, "b") == 202
    assert chat.ports.metrics.counts["LeasesAcquired"] == grant + 1
    assert "LeasesReacquired" not in chat.ports.metrics.counts
    assert chat.ports.metrics.counts.get("NumbersSkipped", 0) == 0


def test_the_schedule_measures_the_age_of_the_oldest_pending_entry(chat: Functions) -> None:
    measured = chat.ports.metrics.measured
    chat.minute()
    assert measured["OldestPendingAge"] == 0
    post(chat, "lost")
    chat.ports.queues.take("messages")
    chat.ports.clock.wait(OVERDUE_AFTER_MS / 1000 + 1)
    post(chat, "young")
    chat.minute()
    assert measured["OldestPendingAge"] == OVERDUE_AFTER_MS + 1000
    assert chat.ports.metrics.counts["PendingResent"] == 1
    assert [(line["chat"], line["first"]) for line in chat.lines("resent")] == [(1, 1)]


def test_dead_letters_are_counted_when_sent_and_by_the_schedule(chat: Functions) -> None:
    chat.work("messages", "not a record")
    chat.minute()
    metrics = chat.ports.metrics
    assert metrics.counts["RecordsDeadLettered:messages"] == 1
    assert metrics.measured["DeadLetters:messages"] == 1
    assert metrics.measured["DeadLetters:search"] == 0


def test_a_measurement_that_fails_does_not_stop_the_other_one(chat: Functions) -> None:
    chat.ports.queues.is_down = True
    with pytest.raises(Exception, match="SQS is down"):
        chat.run("measure_backlog")
    assert "OldestPendingAge" in chat.ports.metrics.measured
    [line] = chat.lines("a part of a task failed")
    assert (line["task"], line["code"]) == ("measure_backlog", "unavailable")
    assert chat.ports.metrics.flushed[-1] == "schedules"


def test_a_defect_in_a_task_is_counted_and_logged(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.ports.store, "list_tokens", None)
    with pytest.raises(TypeError):
        chat.run("repair_pending")
    assert chat.ports.metrics.counts["Errors:internal"] == 1
    [line] = chat.lines("a part of a task failed")
    assert line["error"] == "TypeError"
    assert chat.ports.metrics.flushed[-1] == "schedules"


def test_the_adapter_writes_every_metric_in_the_format_of_cloudwatch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = EmfMetrics("a-stage")
    for metric in ALL:
        dimension = "x" if metric.by else None
        if metric.unit == "Count":
            metrics.count(metric, 2, dimension)
            metrics.count(metric, 3, dimension)
        else:
            metrics.measure(metric, 2.5, dimension)
    metrics.flush("a-service")
    written = {}
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == NAMESPACE
        [dimensions] = directive["Dimensions"]
        assert (line["stage"], line["service"]) == ("a-stage", "a-service")
        for metric in directive["Metrics"]:
            by = set(dimensions) - {"stage", "service"}
            written[metric["Name"]] = (metric["Unit"], by, line[metric["Name"]])
    assert written == {
        m.name: (m.unit, {m.by} if m.by else set(), [5.0] if m.unit == "Count" else [2.5])
        for m in ALL
    }


def test_flushed_values_are_not_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = EmfMetrics("a-stage")
    metrics.count(ALL[0])
    metrics.flush("api")
    metrics.count(ALL[0], 0)
    metrics.flush("api")
    assert len(capsys.readouterr().out.splitlines()) == 1
