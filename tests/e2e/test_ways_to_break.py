"""Classic ways in which such systems break, where no other test has them on the whole stack."""

from tests.e2e.conftest import Application, Stack, wait_until
from tests.e2e.test_poison import chatctl

MESSAGES = 20


def _waiting(stack: Stack, queue: str) -> tuple[int, int]:
    """Records that wait, and records that somebody has taken."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    answer = stack.sqs.get_queue_attributes(
        QueueUrl=stack.file["queues"][queue], AttributeNames=list(names)
    )
    waiting, taken = (int(answer["Attributes"][name]) for name in names)
    return waiting, taken


def test_neither_the_schedule_nor_the_operators_commands_take_a_record_from_a_queue(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "first"})
    wait_until("the first", lambda: application.get(chat)["messages_count"] == 1)
    wait_until("an empty queue", lambda: _waiting(stack, "messages") == (0, 0))
    with stack.stopped("persist_messages"):
        for i in range(MESSAGES):
            application.post(f"{chat}/messages", {"body": str(i)})
        stack.invoke("repair_pending")
        chatctl("lag")
        chatctl("redrive", "messages", "--peek")
        assert _waiting(stack, "messages") == (MESSAGES, 0)
    wait_until("all", lambda: application.get(chat)["messages_count"] == MESSAGES + 1)


def test_a_chat_with_records_of_both_kinds_late_ends_as_its_newest_state_says(
    stack: Stack, application: Application
) -> None:
    with stack.stopped("persist_chats"), stack.stopped("persist_messages"):
        chat = application.new_chat("first title")
        application.post(f"{chat}/messages", {"body": "kept"})
        application("PATCH", chat, {"title": "second title"})
        gone = application.new_chat("gone")
        application.post(f"{gone}/messages", {"body": "late"})
        assert application("DELETE", gone).status_code == 202
    wait_until("the message", lambda: application.get(chat)["messages_count"] == 1)
    wait_until("the title", lambda: application.get(chat)["title"] == "second title")
    assert application("GET", gone).status_code == 410
    assert [c["title"] for c in application.all(f"{application.path}/chats")] == ["second title"]
