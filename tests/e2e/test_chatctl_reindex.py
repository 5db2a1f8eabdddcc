"""`chatctl reindex` on the deployed stack while messages are posted. Afterwards the stores hold the same."""

import json
import subprocess
import sys
import threading
from typing import Any

from tests.e2e.conftest import ROOT, STACK_FILE, Application, Stack, in_parallel, wait_until

CHATS = 3
SECONDS = 240


def chatctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chatctl", *arguments, "--stack-file", str(STACK_FILE)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)


def verified(application: Application) -> Any:
    done = chatctl("verify", "--application", application.token, "--json")
    return json.loads(done.stdout), done.returncode


def hits(application: Application) -> int:
    return int(application.get(f"{application.path}/search?q=needle&limit=1")["total"])


def test_messages_that_are_posted_during_a_reindex_are_all_found(
    stack: Stack, application: Application
) -> None:
    chats = [application.new_chat(str(i)) for i in range(CHATS)]
    for chat in chats:
        bodies = [{"body": f"needle {i}"} for i in range(300)]
        application.post(f"{chat}/messages/batch", {"messages": bodies})
    wait_until("the first messages", lambda: hits(application) == CHATS * 300)
    ended = threading.Event()
    posted = 0
    lock = threading.Lock()

    def post(client: int) -> None:
        nonlocal posted
        while not ended.is_set():
            number = application.post(f"{chats[client]}/messages", {"body": "needle"})["number"]
            with lock:
                posted += 1
            if number % 10 == 0:
                application("PATCH", f"{chats[client]}/messages/{number - 5}", {"body": "needle!"})

    poster = threading.Thread(target=in_parallel, args=(CHATS, post, range(CHATS)))
    poster.start()
    try:
        wait_until("the first of the posts", lambda: posted >= CHATS)
        before = posted
        done = chatctl("reindex")
        assert done.returncode == 0, done.stderr
        during = posted - before
        application("DELETE", f"{chats[0]}/messages/1")
    finally:
        ended.set()
        poster.join()
    assert during > 0
    wait_until("all posts", lambda: hits(application) == CHATS * 300 + posted - 1, SECONDS)
    wait_until("everything to be acknowledged", lambda: not verified(application)[0]["temporary"])
    report, code = verified(application)
    assert (code, report["messages"]) == (0, CHATS * 300 + posted), report
    assert chatctl("reindex").returncode == 0
    assert hits(application) == CHATS * 300 + posted - 1
    assert verified(application)[1] == 0
