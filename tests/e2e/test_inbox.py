"""Other services of the owner create chats and messages through the inbox queue."""

import json
from typing import Any

from tests.e2e.conftest import Application, Stack, wait_until


def put(stack: Stack, records: list[dict[str, Any]]) -> None:
    """Put records on the inbox queue, ten a call."""
    url = stack.file["queues"]["inbox"]
    for start in range(0, len(records), 10):
        entries = [
            {"Id": str(i), "MessageBody": json.dumps(record)}
            for i, record in enumerate(records[start : start + 10])
        ]
        assert not stack.sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")


def test_each_inbox_record_becomes_one_message_that_is_stored_and_searchable(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat()
    record = {"v": 1, "type": "message.create", "token": application.token, "chat": 1}
    records = [record | {"body": f"inboxed {i}", "key": f"k{i}"} for i in range(200)]
    dead = stack.dead("inbox")
    put(stack, [*records, *records[:50], record | {"body": " ", "key": "blank"}])
    wait_until(
        "all to be persisted", lambda: application.get(chat)["messages_count"] == 200, seconds=120
    )
    listed = application.all(f"{chat}/messages?after=0")
    assert sorted(m["number"] for m in listed) == list(range(1, 201))
    assert sorted(m["body"] for m in listed) == sorted(r["body"] for r in records)
    wait_until("the blank record to be dead-lettered", lambda: stack.dead("inbox") == dead + 1)
    wait_until(
        "the messages to be searchable",
        lambda: application.get(f"{chat}/messages/search?q=inboxed")["total"] == 200,
    )


def test_a_chat_of_the_inbox_gets_its_number(stack: Stack, application: Application) -> None:
    record = {"type": "chat.create", "token": application.token, "title": "from elsewhere"}
    put(stack, [record | {"key": "the chat"}] * 3)
    wait_until("the chat", lambda: application.get(f"{application.path}/chats")["items"])
    [chat] = application.all(f"{application.path}/chats")
    assert (chat["number"], chat["title"]) == (1, "from elsewhere")
