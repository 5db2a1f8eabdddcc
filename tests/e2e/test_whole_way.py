"""The way of a message through API Gateway, the queues and the workers of the deployed stack."""

import json
import secrets
from collections import defaultdict
from typing import Any

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import Message
from tests.e2e.conftest import Application, Stack, in_parallel, wait_until


class AMinuteAgo(SystemClock):
    """A clock that makes accepted versions overdue at once."""

    def now_ms(self) -> int:
        return super().now_ms() - 61_000


def count(application: Application, chat: str) -> int:
    return int(application.get(chat)["messages_count"])


def test_partial_batch_responses_are_on(stack: Stack) -> None:
    for function in ("persist_chats", "persist_messages", "index_messages"):
        mapping = stack.mapping(function)
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] == 500


def test_all_parts_are_ready(application: Application) -> None:
    parts = application.get("/health/ready")["parts"]
    assert parts == {"redis": "ok", "mysql": "ok", "sqs": "ok", "opensearch": "ok"}


def test_an_accepted_message_is_read_at_once_and_soon_stored_and_searchable(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat("Grüße")
    sent = {"body": "Çok güzel \x00 😀 <b>", "sender": "ann", "metadata": {"a": [1.5, None]}}
    made = application.post(f"{chat}/messages", sent)
    assert made["number"] == 1
    assert application.get(f"{chat}/messages/1") == made
    assert application.get(f"{chat}/messages")["items"] == [made]
    wait_until("the count", lambda: count(application, chat) == 1)
    stored = stack.store.messages.get_message(application.token, 1, 1)
    assert stored is not None
    assert (stored.body, stored.sender, stored.metadata) == tuple(sent.values())
    hits = wait_until(
        "the index", lambda: application.get(f"{application.path}/search?q=GUZ")["items"]
    )
    assert {k: v for k, v in hits[0].items() if k in made} == made
    assert hits[0]["highlight"] == "Çok <em>güz</em>el \x00 😀 &lt;b&gt;"
    assert application.get(application.path)["chats_count"] == 1


def test_the_numbers_of_sixteen_clients_have_no_gaps_and_the_right_bodies(
    stack: Stack, application: Application
) -> None:
    chats = [application.new_chat(str(i)) for i in range(4)]

    def post(i: int) -> tuple[str, int, str]:
        chat, body = chats[i % 4], f"{i}-{secrets.token_hex(4)}"
        return chat, application.post(f"{chat}/messages", {"body": body})["number"], body

    bodies: dict[str, dict[int, str]] = defaultdict(dict)
    for chat, number, body in in_parallel(16, post, range(2000)):
        assert number not in bodies[chat]
        bodies[chat][number] = body
    for chat in chats:
        assert sorted(bodies[chat]) == list(range(1, 501))
        wait_until(f"{chat} to be persisted", lambda c=chat: count(application, c) == 500)  # type: ignore[misc]
        stored = application.all(f"{chat}/messages?limit=100")
        assert {m["number"]: m["body"] for m in stored} == bodies[chat]
        assert application.get(chat)["skipped"] == []


def test_a_message_posted_right_after_its_chat_is_persisted(application: Application) -> None:
    for _ in range(5):
        chat = application.new_chat()
        assert application.post(f"{chat}/messages", {"body": "at once"})["number"] == 1
        wait_until("the message", lambda c=chat: count(application, c) == 1)  # type: ignore[misc]


def test_a_message_arrives_although_the_chats_worker_is_stopped(
    stack: Stack, application: Application
) -> None:
    with stack.stopped("persist_chats"):
        chat = application.new_chat("late")
        application.post(f"{chat}/messages", {"body": "early"})
        wait_until("the message", lambda: stack.store.messages.get_message(application.token, 1, 1))
        assert application.get(chat)["title"] == "late"
    wait_until("the chat", lambda: _stored_title(stack, application) == "late")
    assert count(application, chat) == 1


def test_a_new_chat_takes_more_than_its_first_lease_before_any_worker_has_run(
    stack: Stack, application: Application
) -> None:
    batch = json.dumps({"messages": [{"body": f"message {i}"} for i in range(500)]}).encode()
    with stack.stopped("persist_chats"), stack.stopped("persist_messages"):
        chat = application.new_chat("a burst")

        def post(_: int) -> tuple[int, int]:
            # Unlike `application.post`, this does not repeat a refused request.
            response = application.send("POST", f"{chat}/messages/batch", batch)
            assert response.status_code == 202, response.text
            return response.json()["first"], response.json()["last"]

        numbers = [post(0), *in_parallel(3, post, range(3))]
        assert sorted(numbers) == [(1, 500), (501, 1000), (1001, 1500), (1501, 2000)]
        assert application.get(chat)["title"] == "a burst"
    wait_until("the messages", lambda: count(application, chat) == 2000)
    wait_until("the chat", lambda: _stored_title(stack, application) == "a burst")
    assert application.get(chat)["skipped"] == []
    assert application.get(application.path)["chats_count"] == 1


def _stored_title(stack: Stack, application: Application) -> str | None:
    row = stack.store.chats.get_chat(application.token, 1)
    return row.chat.title if row else None


def test_edits_and_deletions_reach_every_store(stack: Stack, application: Application) -> None:
    chat = application.new_chat()
    for body in ("plum", "pear", "fig"):
        application.post(f"{chat}/messages", {"body": body})
    assert application("PATCH", f"{chat}/messages/1", {"body": "apple"}).status_code == 202
    assert application("DELETE", f"{chat}/messages/2").status_code == 202
    assert application("GET", f"{chat}/messages/2").status_code == 410
    assert [m["body"] for m in application.get(f"{chat}/messages?after=0")["items"]] == [
        "apple",
        "fig",
    ]

    def hits(q: str) -> list[Any]:
        return [h["number"] for h in application.get(f"{chat}/messages/search?q={q}")["items"]]

    wait_until("the new version to be indexed", lambda: hits("apple") == [1])
    wait_until("the old versions to be gone", lambda: not hits("plum") and not hits("pear"))
    wait_until("the count", lambda: count(application, chat) == 2)


def test_a_retry_with_the_same_key_is_one_message(application: Application) -> None:
    chat = application.new_chat()
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    batch = {"messages": [{"body": str(i)} for i in range(500)]}
    responses = [application.post(f"{chat}/messages/batch", batch, **headers) for _ in range(3)]
    assert responses == [{"first": 1, "last": 500}] * 3
    assert (
        application(
            "POST", f"{chat}/messages/batch", {"messages": [{"body": "x"}]}, **headers
        ).status_code
        == 422
    )
    wait_until("the batch", lambda: count(application, chat) == 500)


def test_a_large_batch_of_large_messages_is_stored_completely(application: Application) -> None:
    chat = application.new_chat()
    batch = {"messages": [{"body": "ä" * 19_000 + str(i)} for i in range(75)]}
    assert application.post(f"{chat}/messages/batch", batch) == {"first": 1, "last": 75}
    wait_until("the batch", lambda: count(application, chat) == 75)
    assert application.get(f"{chat}/messages/70")["body"] == "ä" * 19_000 + "69"


def test_a_deleted_chat_and_application_leave_the_search(application: Application) -> None:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "needle"})
    search = f"{application.path}/search?q=needle"
    wait_until("the message", lambda: application.get(search)["total"] == 1)
    assert application("DELETE", chat).status_code == 202
    assert application("GET", chat).status_code == 410
    wait_until("the chat to be gone", lambda: application.get(search)["total"] == 0)
    assert application("DELETE", application.path).status_code == 204
    assert application("GET", application.path).status_code == 404


def test_the_repair_sends_messages_that_the_api_did_not_enqueue(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "first"})
    wait_until("the first", lambda: count(application, chat) == 1)
    sequencer = RedisSequencer(stack.file["redis"]["url"], AMinuteAgo(), 1000)
    draft = Message(number=0, revision=0, body="unsent", created_at="2026-01-01T00:00:00.000Z")
    tenant = Tenant(application.token, 1)
    accepted = sequencer.accept(tenant, Counter(application.token, 1), [draft], None)
    sequencer.close()
    assert isinstance(accepted, Accepted)
    assert accepted.first == 2
    assert application.get(f"{chat}/messages/2")["body"] == "unsent"
    stack.invoke("repair_pending")
    wait_until("the second", lambda: count(application, chat) == 2)
