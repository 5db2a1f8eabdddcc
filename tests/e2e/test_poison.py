"""A record that cannot be persisted fails alone, and is stored after the cause is gone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pymysql
import pytest

from tests.e2e.conftest import ROOT, STACK_FILE, Application, Stack, wait_until

REFUSED = "this body is refused by the database"
TRIGGER = f"""
CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW
IF NEW.body = '{REFUSED}' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by the test'; END IF
"""


@contextmanager
def refusing(stack: Stack) -> Iterator[None]:
    _execute(stack, TRIGGER)
    try:
        yield
    finally:
        _execute(stack, "DROP TRIGGER refuse")


def _execute(stack: Stack, statement: str) -> None:
    url = urlsplit(stack.file["mysql"]["url"])
    with (
        pymysql.connect(
            host=url.hostname,
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            database=url.path.lstrip("/"),
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def chatctl(*arguments: str) -> str:
    command = [sys.executable, "-m", "chatctl", *arguments, "--stack-file", str(STACK_FILE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def chat(application: Application) -> str:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "the chat exists"})
    wait_until("the chat", lambda: application.get(chat)["messages_count"] == 1)
    return chat


def test_a_poison_record_fails_alone_and_can_be_redriven(
    stack: Stack, application: Application, chat: str
) -> None:
    before = stack.dead("messages")
    with refusing(stack):
        with stack.stopped("persist_messages"):
            application.post(f"{chat}/messages", {"body": "before"})
            batch = {"messages": [{"body": REFUSED}, {"body": "of the same record"}]}
            application.post(f"{chat}/messages/batch", batch)
        wait_until("the other messages", lambda: application.get(chat)["messages_count"] == 3)
        wait_until("the dead letter", lambda: stack.dead("messages") > before)
        assert stack.store.messages.get_message(application.token, 1, 3) is None
        assert "refused by the test" in chatctl("redrive", "messages", "--peek")
        assert application.get(f"{chat}/messages/3")["body"] == REFUSED
    chatctl("redrive", "messages")
    wait_until("the message", lambda: application.get(chat)["messages_count"] == 4)
    assert stack.dead("messages") == 0
    assert [m["body"] for m in application.get(f"{chat}/messages?after=0")["items"]] == [
        "the chat exists",
        "before",
        REFUSED,
        "of the same record",
    ]
