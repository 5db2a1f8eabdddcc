"""Read markers and unread counts on the deployed stack are right after each step of their user."""

import random
from typing import Any
from urllib.parse import quote

import pytest
import redis

from chalicelib.operators.recount import Recount
from tests.e2e.conftest import Application, Stack, in_parallel, wait_until

STEPS = 40
CLIENTS = 4


class Reader:
    """A user of one chat, who posts, deletes and reads. Checks the unread count after each step."""

    def __init__(self, application: Application, user: str) -> None:
        self._application = application
        self.chat = application.new_chat(user)
        self.number = int(self.chat.rpartition("/")[2])
        self._path = f"{self.chat}/readers/{user}"
        self._chance = random.Random(user)
        self.existing: set[int] = set()
        self._marker = self._last = 0

    @property
    def expected(self) -> dict[str, int]:
        return {
            "chat": self.number,
            "number": self._marker,
            "unread": sum(number > self._marker for number in self.existing),
            "last_message_number": self._last,
        }

    def step(self) -> None:
        action = self._chance.choice(["post", "post", "batch", "delete", "delete", "edit", "mark"])
        if action in ("post", "batch"):
            self._post(1 if action == "post" else 5)
        elif action == "mark":
            self._mark_read(self._chance.randint(0, self._last + 1))
        elif self.existing:
            self._change(action, self._chance.choice(sorted(self.existing)))
        self.check()

    def _post(self, count: int) -> None:
        body = {"messages": [{"body": "x"}] * count}
        created = self._application.post(f"{self.chat}/messages/batch", body)
        self._last = created["last"]
        self.existing |= set(range(created["first"], created["last"] + 1))

    def _change(self, action: str, number: int) -> None:
        method, body = ("DELETE", None) if action == "delete" else ("PATCH", {"body": "y"})
        response = self._application(method, f"{self.chat}/messages/{number}", body)
        assert response.status_code == 202, response.text
        if action == "delete":
            self.existing.remove(number)

    def _mark_read(self, number: int) -> None:
        self._marker = max(self._marker, min(number, self._last))
        response = self._application("PUT", self._path, {"number": number})
        assert response.status_code == 200, response.text
        assert response.json().items() >= self.expected.items()

    def check(self) -> None:
        assert self._application.get(self._path).items() >= self.expected.items()


def persisted(application: Application, reader: Reader) -> bool:
    return bool(application.get(reader.chat)["messages_count"] == len(reader.existing))


def test_unread_counts_are_right_after_every_step_and_when_all_is_persisted(
    stack: Stack, application: Application
) -> None:
    readers = [Reader(application, f"user-{i}") for i in range(CLIENTS)]

    def work(i: int) -> None:
        for _ in range(STEPS):
            readers[i].step()

    in_parallel(CLIENTS, work, range(CLIENTS))
    for reader in readers:
        wait_until(reader.chat, lambda r=reader: persisted(application, r))  # type: ignore[misc]
        reader.check()
    wait_until("the deletions to be acknowledged", lambda: not _deletions(stack, application))
    for reader in readers:
        reader.check()
    assert Recount(stack.store.database).recount(application.token) == []


def _deletions(stack: Stack, application: Application) -> list[Any]:
    client = redis.Redis.from_url(stack.file["redis"]["url"])
    keys = list(client.scan_iter(match=f"{{{application.token}}}:*:deletions", count=1000))
    client.close()
    return keys


def test_all_chats_of_a_user_are_counted_in_one_request(application: Application) -> None:
    chats = [application.new_chat(str(i)) for i in range(7)]
    expected = []
    for number, chat in enumerate(chats, 1):
        batch = {"messages": [{"body": "x"}] * number}
        application.post(f"{chat}/messages/batch", batch)
        application("PUT", f"{chat}/readers/ann", {"number": number // 2})
        application("DELETE", f"{chat}/messages/{number}")
        unread = number - number // 2 - 1
        marker = {"chat": number, "number": number // 2, "unread": unread}
        expected.append(marker | {"last_message_number": number})
    application("DELETE", chats[3])
    del expected[3]
    assert application.all(f"{application.path}/readers/ann?limit=2") == expected[::-1]
    assert application.all(f"{application.path}/readers/ann?after=0") == expected
    for number in (1, 7):
        wait_until(
            "the count",
            lambda n=number: application.get(chats[n - 1])["messages_count"] == n - 1,  # type: ignore[misc]
        )
    assert application.all(f"{application.path}/readers/ann") == expected[::-1]


@pytest.mark.parametrize(
    "name",
    ["a b", "a/b", "a%2Fb", "100%", "a+b", "Zoë", "🦊" * 255, "a?b#c&d=e", " ann ", "%41", "'"],
)
def test_a_user_may_have_any_name(application: Application, name: str) -> None:
    chat, user = application.new_chat(), quote(name, safe="")
    application.post(f"{chat}/messages", {"body": "x"})
    marked = application("PUT", f"{chat}/readers/{user}", {"number": 1})
    assert (marked.status_code, marked.json()["user"]) == (200, name)
    assert application.get(f"{chat}/readers/{user}")["number"] == 1
    assert [r["chat"] for r in application.all(f"{application.path}/readers/{user}?limit=1")] == [1]


def test_invalid_user_names_are_refused(application: Application) -> None:
    chat = application.new_chat()
    for sent in ("%00", "%0A", "%FF", "x" * 256):
        assert application("GET", f"{chat}/readers/{sent}").status_code == 422, sent
