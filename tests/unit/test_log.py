"""The log names the application and the numbers of each request and record, and none of their content."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.errors import PoisonError, UnavailableError
from tests.fakes.ports import SETTINGS, FakePorts
from tests.unit.operator_view import KEY, TOKEN, Functions, operated

SECRET = "a-secret-that-nobody-else-may-read"


@pytest.fixture
def functions(ports: FakePorts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    with operated(ports, monkeypatch) as functions:
        yield functions


@pytest.fixture
def chat(functions: Functions) -> Functions:
    """With chat 1, persisted."""
    assert functions.request("POST", "/chats", {"title": SECRET}) == 202
    functions.work("chats")
    return functions


def identity(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(k) for k in ("token", "chat", "first", "last", "revision"))


def test_a_message_is_followed_by_its_identity_through_all_stages(chat: Functions) -> None:
    chat.request("POST", "/chats/1/messages", {"body": SECRET})
    chat.work("messages")
    chat.work("search")
    [accepted] = [line for line in chat.lines("request") if "chat" in line]
    done = {line["queue"]: line for line in chat.lines("processed") if "chat" in line}
    assert set(done) == {"messages", "search"}
    assert (accepted["service"], accepted["replayed"]) == ("api", False)
    assert identity(accepted) == (TOKEN, 1, 1, 1, accepted["revision"])
    for line in done.values():
        assert identity(line) == identity(accepted)
        assert line["service"] == "workers"


def test_every_request_has_one_line(chat: Functions) -> None:
    before = len(chat.lines("request"))
    status = chat.request("GET", "/chats/1/messages?limit=5")
    assert status == 200
    [line] = chat.lines("request")[before:]
    assert (line["method"], line["status"], line["chat"]) == ("GET", 200, 1)
    assert line["route"] == "/applications/{token}/chats/{chat}/messages"
    assert line["duration_ms"] >= 0
    assert line["invocation_id"]


def test_a_replay_is_named_as_one(chat: Functions) -> None:
    for _ in range(2):
        chat.request("POST", "/chats/1/messages", {"body": "x"}, **{"Idempotency-Key": SECRET})
    lines = [line for line in chat.lines("request") if line.get("chat") == 1]
    assert [line["replayed"] for line in lines] == [False, True]
    assert [line["first"] for line in lines] == [1, 1]


def test_a_batch_of_a_worker_has_one_line(chat: Functions) -> None:
    for body in "ab":
        chat.request("POST", "/chats/1/messages", {"body": body})
    chat.work("messages")
    line = chat.lines("batch")[-1]
    assert (line["queue"], line["records"], line["to_retry"]) == ("messages", 2, 0)


def test_an_accepted_message_that_was_not_sent_is_named(chat: Functions) -> None:
    chat.ports.queues.is_down = True
    assert chat.request("POST", "/chats/1/messages", {"body": "x"}) == 503
    [line] = chat.lines("accepted, but not sent")
    assert identity(line)[:4] == (TOKEN, 1, 1, 1)
    assert (line["level"], line["code"]) == ("WARNING", "unavailable")
    assert chat.lines("request")[-1]["code"] == "unavailable"


def test_records_that_will_be_retried_are_named(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UnavailableError(f"MySQL: (1062, \"Duplicate entry '{SECRET}' for key 'x'\")")

    monkeypatch.setattr(chat.ports.store.persistence, "persist_messages", refuse)
    chat.request("POST", "/chats/1/messages", {"body": SECRET})
    assert chat.work("messages")["batchItemFailures"]
    [line] = chat.lines("will be retried")
    assert identity(line)[:4] == (TOKEN, 1, 1, 1)
    assert line["reason"] == "MySQL: (1062, '…')"


def test_a_poison_record_is_named(chat: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PoisonError(f"Data too long for '{SECRET}'")

    monkeypatch.setattr(chat.ports.store.persistence, "persist_messages", refuse)
    chat.request("POST", "/chats/1/messages", {"body": SECRET})
    chat.work("messages")
    [line] = chat.lines("can never succeed")
    assert identity(line)[:4] == (TOKEN, 1, 1, 1)
    assert line["level"] == "ERROR"


def test_messages_that_were_not_acknowledged_in_redis_are_named(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UnavailableError("Redis is down")

    monkeypatch.setattr(chat.ports.sequencer, "acknowledge", refuse)
    chat.request("POST", "/chats/1/messages", {"body": "x"})
    chat.work("messages")
    [line] = chat.lines("persisted, but not acknowledged in Redis")
    assert identity(line)[:4] == (TOKEN, 1, 1, 1)


def _fail(*_: Any, **__: Any) -> None:
    raise RuntimeError(f"something about {SECRET} and {KEY}")


def test_an_error_in_a_worker_names_the_records(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.ports.store.persistence, "persist_messages", _fail)
    chat.request("POST", "/chats/1/messages", {"body": SECRET})
    assert len(chat.work("messages")["batchItemFailures"]) == 1
    [line] = chat.lines("failed")
    assert identity(line)[:4] == (TOKEN, 1, 1, 1)
    assert line["error"] == "RuntimeError"
    assert "_fail" in line["at"][-1]
    assert chat.lines("batch")[-1]["to_retry"] == 1
    assert chat.ports.metrics.counts["Errors:internal"] == 1


def test_no_content_and_no_key_is_ever_in_the_log(
    chat: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {"body": SECRET, "sender": SECRET, "metadata": {SECRET: SECRET}}
    idempotency = {"Idempotency-Key": SECRET}
    assert chat.request("POST", "/chats/1/messages", sent, **idempotency) == 202
    assert chat.request("POST", "/chats/1/messages/batch", {"messages": [sent]}) == 202
    assert chat.request("PATCH", "/chats/1/messages/1", {"body": SECRET}) == 202
    assert chat.request("PATCH", "/chats/1", {"title": SECRET}) == 202
    assert chat.request("POST", "/chats/1/messages", {SECRET: SECRET}) == 422
    assert chat.request("GET", f"/chats/{SECRET}/messages?after={SECRET}") == 422
    assert chat.request("PUT", f"/chats/1/readers/{SECRET}", {"number": 1}) == 200
    assert chat.request("GET", f"/search?q={SECRET}&sender={SECRET}") == 200
    assert chat.request("GET", "/chats", Authorization=f"Bearer {SECRET}") == 401
    for queue in ("chats", "messages", "search"):
        chat.work(queue)
        chat.work(queue, f'{{"type": "{SECRET}"}}', SECRET)
    monkeypatch.setattr(chat.ports.store.messages, "get_message", _fail)
    monkeypatch.setattr(chat.ports.sequencer, "accept", _fail)
    assert chat.request("GET", "/chats/1/messages/1") == 500
    assert chat.request("POST", "/chats/1/messages", sent) == 500
    assert len(chat.lines()) > 20
    for secret in (SECRET, KEY, SETTINGS.master_key, SETTINGS.admin_key):
        assert secret not in chat.text


def test_a_request_that_chalice_refuses_has_a_line_too(chat: Functions) -> None:
    assert chat.request("POST", "/chats", {"title": "x"}, **{"Content-Type": "text/csv"}) == 415
    before, line = chat.lines()[-2:]
    assert (line["status"], line["code"]) == (415, "unsupported-media-type")
    assert (line["message"], line["service"]) == ("request", "api")
    assert line["invocation_id"] != before["invocation_id"]
