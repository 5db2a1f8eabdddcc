"""What the runbook tells an operator to type, on the deployed stack (`docs/operations.md`)."""

import json
import subprocess
import sys

import httpx

from tests.e2e.conftest import ROOT, STACK_FILE, Application, Stack, wait_until

BY = 50_000
POSTS = 30


def chatctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chatctl", *arguments, "--stack-file", str(STACK_FILE)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def test_the_first_look_says_what_is_behind_and_which_part_answers(
    stack: Stack, application: Application
) -> None:
    application.post(f"{application.new_chat()}/messages", {"body": "a message"})
    lag = chatctl("lag")
    assert lag.returncode == 0, lag.stderr
    told = {line.split()[0] for line in lag.stdout.splitlines()[1:]}
    assert {"inbox", "chats", "messages", "search", "pending"} <= told
    ready = httpx.get(f"{stack.base_url}/health/ready", timeout=60)
    assert ready.status_code == 200, ready.text


def test_dead_letters_of_each_queue_can_be_seen_and_brought_back(stack: Stack) -> None:
    for queue in ("inbox", "chats", "messages", "search"):
        seen = chatctl("redrive", queue, "--peek")
        assert (seen.returncode, seen.stdout[: len(queue)]) == (0, queue), seen.stderr
    assert chatctl("redrive", "all").returncode == 0


def test_counts_that_look_wrong_are_set_right(stack: Stack, application: Application) -> None:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "a message"})
    wait_until("the message", lambda: application.get(chat)["messages_count"] == 1)
    only = ("--application", application.token)
    assert chatctl("recount", *only).returncode == 0
    assert chatctl("recount", *only, "--fix").returncode == 0


def test_a_lift_passes_over_numbers_and_everything_goes_on(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat()
    before = [
        application.post(f"{chat}/messages", {"body": "before"})["number"] for _ in range(POSTS)
    ]
    wait_until("the messages", lambda: application.get(chat)["messages_count"] == POSTS)
    lifted = chatctl("lift", "--by", str(BY))
    assert lifted.returncode == 0, lifted.stderr
    skipped = application.get(chat)["skipped"]
    assert skipped[0]["from"] == POSTS + 1
    assert skipped[-1]["to"] > POSTS + BY
    batches = [{"messages": [{"body": "after"}] * 500}] * 4
    ranges = [application.post(f"{chat}/messages/batch", batch) for batch in batches]
    after = [n for given in ranges for n in range(given["first"], given["last"] + 1)]
    assert len({*before, *after}) == POSTS + 2_000
    assert max(after) > BY, "the old lease is used up, and the next one begins above the lift"
    wait_until("what came after", lambda: application.get(chat)["messages_count"] == POSTS + 2_000)
    assert application.post(f"{application.path}/chats", {})["number"] != 1

    def acknowledged() -> bool:
        report = chatctl("verify", "--application", application.token, "--json")
        return not json.loads(report.stdout)["under_way"] and report.returncode == 0

    wait_until("the stores to hold the same", acknowledged, 120)
