"""Clients that follow a chat while others write to it end with the stored messages."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from tests.e2e.conftest import Application, Stack, in_parallel, wait_until

WRITES = 300


class Copy:
    """A copy of a chat, which is updated from the chat's change feed."""

    def __init__(self, application: Application, chat: str) -> None:
        self._application, self._chat = application, chat
        self._since = "0"
        self.revisions: dict[int, int] = {}
        self.messages: dict[int, Any] = {}
        self.deleted: set[int] = set()

    def catch_up(self) -> None:
        path = f"{self._chat}/changes?limit=7&since={self._since}"
        while path:
            page = self._application.get(path)
            for change in page["items"]:
                number, revision = change["number"], change["revision"]
                assert revision > self.revisions.get(number, 0)
                self.revisions[number] = revision
                if change["type"] == "deleted":
                    self.messages.pop(number, None)
                    self.deleted.add(number)
                else:
                    self.messages[number] = change["message"]
            self._since, path = page["since"], page["next"]


def test_followers_of_a_chat_during_many_writes_end_with_the_listed_messages(
    application: Application,
) -> None:
    chat = application.new_chat()
    copies = [Copy(application, chat) for _ in range(3)]
    written = threading.Event()

    def follow(copy: Copy) -> None:
        while not written.is_set():
            copy.catch_up()

    def write(i: int) -> None:
        chance, last = random.Random(i), 1 + i // 3
        number = chance.randint(1, last)
        match chance.choice(("post", "post", "edit", "delete")):
            case "edit":
                application("PATCH", f"{chat}/messages/{number}", {"body": f"edit {i}"})
            case "delete":
                application("DELETE", f"{chat}/messages/{number}")
            case _:
                application.post(f"{chat}/messages", {"body": f"post {i}"})

    with ThreadPoolExecutor(len(copies)) as pool:
        futures = [pool.submit(follow, copy) for copy in copies]
        try:
            in_parallel(6, write, range(WRITES))
        finally:
            written.set()
        for future in futures:
            future.result()
    listed = {m["number"]: m for m in application.all(f"{chat}/messages?after=0&limit=100")}
    last = max(listed)
    for copy in [*copies, Copy(application, chat)]:

        def is_complete(copy: Copy = copy) -> bool:
            copy.catch_up()
            return copy.messages == listed and len(copy.revisions) >= last

        wait_until("the copy to be complete", is_complete)
        assert copy.deleted == set(copy.revisions) - set(listed)
        assert set(copy.revisions) == set(range(1, max(copy.revisions) + 1))


def test_the_change_feed_has_every_accepted_message_once_stored_even_after_redis_was_wiped(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat()
    copy = Copy(application, chat)
    first = application.post(f"{chat}/messages", {"body": "before"})
    wait_until("the chat", lambda: application.get(chat)["messages_count"] == 1)
    copy.catch_up()
    assert copy.messages == {1: first}
    with stack.stopped("persist_messages"):
        late = application.post(f"{chat}/messages", {"body": "late"})
        with redis.Redis.from_url(stack.file["redis"]["url"]) as valkey:
            valkey.flushall()
        early = application.post(f"{chat}/messages", {"body": "after"})
        assert early["number"] > late["number"] + 1
        copy.catch_up()
        assert copy.messages == {1: first}
    everything = {m["number"]: m for m in (first, late, early)}

    def is_complete() -> bool:
        copy.catch_up()
        return copy.messages == everything

    wait_until("both changes", is_complete)
