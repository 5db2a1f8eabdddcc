"""The commands of the runbook (`docs/operations.md`) on the deployed stack."""

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


def test_lag_and_readiness_show_the_state_of_every_service(
    stack: Stack, application: Application
) -> None:
    application.post(f"{application.new_chat()}/messages", {"body": "a message"})
    lag = chatctl("lag")
    assert lag.returncode == 0, lag.stderr
    rows = {line.split()[0] for line in lag.stdout.splitlines()[1:]}
    assert {"inbox", "chats", "messages", "search", "pending"} <= rows
    ready = httpx.get(f"{stack.base_url}/health/ready", timeout=60)
    assert ready.status_code == 200, ready.text


def test_dead_letters_of_each_queue_can_be_listed_and_redriven(stack: Stack) -> None:
    for queue in ("inbox", "chats", "messages", "search"):
        shown = chatctl("redrive", queue, "--peek")
        assert (shown.returncode, shown.stdout[: len(queue)]) == (0, queue), shown.stderr
    assert chatctl("redrive", "all").returncode == 0


def test_counts_can_be_compared_and_corrected(stack: Stack, application: Application) -> None:
    chat = application.new_chat()
    application.post(f"{chat}/messages", {"body": "a message"})
    wait_until("the message", lambda: application.get(chat)["messages_count"] == 1)
    only = ("--application", application.token)
    assert chatctl("recount", *only).returncode == 0
    assert chatctl("recount", *only, "--fix").returncode == 0


def test_after_advance_counters_numbers_are_skipped_and_writes_continue(
    stack: Stack, application: Application
) -> None:
    chat = application.new_chat()
    before = [
        application.post(f"{chat}/messages", {"body": "before"})["number"] for _ in range(POSTS)
    ]
    wait_until("the messages", lambda: application.get(chat)["messages_count"] == POSTS)
    advanced = chatctl("advance-counters", "--by", str(BY))
    assert advanced.returncode == 0, advanced.stderr
    skipped = application.get(chat)["skipped"]
    assert skipped[0]["from"] == POSTS + 1
    assert skipped[-1]["to"] > POSTS + BY
    batches = [{"messages": [{"body": "after"}] * 500}] * 4
    ranges = [application.post(f"{chat}/messages/batch", batch) for batch in batches]
    after = [n for batch in ranges for n in range(batch["first"], batch["last"] + 1)]
    assert len({*before, *after}) == POSTS + 2_000
    assert max(after) > BY, (
        "the old lease is used up, and the next one starts above the skipped numbers"
    )
    wait_until(
        "the later messages", lambda: application.get(chat)["messages_count"] == POSTS + 2_000
    )
    assert application.post(f"{application.path}/chats", {})["number"] != 1

    def stores_agree() -> bool:
        report = chatctl("verify", "--application", application.token, "--json")
        return not json.loads(report.stdout)["temporary"] and report.returncode == 0

    wait_until("the stores to hold the same", stores_agree, 120)
