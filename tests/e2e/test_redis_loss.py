"""Redis loses its data under load.

No number is issued twice, no accepted message is lost, and every skipped number is reported.
"""

import threading
from collections import defaultdict

import redis

from chalicelib.operators.recount import Recount
from tests.e2e.conftest import Application, Stack, in_parallel, wait_until

MESSAGES = 600
WIPE_AFTER = (100, 250, 400)


def test_a_redis_that_is_wiped_under_load_issues_no_number_twice(
    stack: Stack, application: Application
) -> None:
    chats = [application.new_chat(str(i)) for i in range(3)]
    for chat in chats:
        application.post(f"{chat}/messages", {"body": "first"})
    for chat in chats:
        wait_until(chat, lambda c=chat: application.get(c)["messages_count"] == 1)  # type: ignore[misc]
    valkey = redis.Redis.from_url(stack.file["redis"]["url"])
    acknowledged: dict[str, dict[int, str]] = defaultdict(dict)
    lock = threading.Lock()

    def post(i: int) -> None:
        chat = chats[i % 3]
        if i in WIPE_AFTER:
            valkey.flushall()
        number = application.post(f"{chat}/messages", {"body": str(i)})["number"]
        with lock:
            assert number not in acknowledged[chat], f"{number} was issued twice"
            acknowledged[chat][number] = str(i)

    in_parallel(8, post, range(MESSAGES))
    valkey.close()
    for number, chat in enumerate(chats, 1):
        check(stack, application, number, chat, acknowledged[chat])


def check(
    stack: Stack, application: Application, number: int, chat: str, acknowledged: dict[int, str]
) -> None:
    def stored() -> dict[int, str]:
        return {m["number"]: m["body"] for m in application.all(f"{chat}/messages?limit=100")}

    wait_until(f"all of {chat}", lambda: acknowledged.items() <= stored().items())
    messages = stored()
    row = application.get(chat)
    skipped = {n for r in row["skipped"] for n in range(r["from"], r["to"] + 1)}
    assert skipped
    assert set(range(1, max(messages) + 1)) - set(messages) == {
        n for n in skipped if n < max(messages)
    }
    wait_until(chat, lambda: application.get(chat)["messages_count"] == len(messages))
    assert Recount(stack.store.database).recount(application.token) == []
