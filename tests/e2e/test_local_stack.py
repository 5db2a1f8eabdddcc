"""The local stack: an ordinary user can start it, and it does not leak threads."""

import json
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Application, Stack, in_parallel
from tests.e2e.ordinary_user import ordinary_checkout

INVOCATIONS = 200


@pytest.mark.timeout(900)  # it starts a second stack
def test_an_ordinary_user_starts_a_stack_that_writes_nothing_outside_of_the_checkout(
    stack: Stack,
) -> None:
    if stack.file["aws"]["pid"] is None:
        pytest.skip("the servers are not this checkout's own, so they may not be installed")
    with ordinary_checkout() as checkout:
        before = checkout.written_elsewhere()
        up = checkout.run("make", "up")
        try:
            assert up.returncode == 0, up.stdout
            started = json.loads((checkout.folder / "var/local/stack.json").read_text())
            assert httpx.get(f"{started['base_url']}/health", timeout=60).status_code == 200
        finally:
            down = checkout.run("make", "down")
        assert down.returncode == 0, down.stdout
        assert checkout.written_elsewhere() == before


def test_invocations_leave_no_threads_behind_in_localstack(
    stack: Stack, application: Application
) -> None:
    pid = stack.file["aws"].get("pid")
    if pid is None:
        pytest.skip("LocalStack is not this checkout's own")
    path = f"{application.path}/chats"
    application.get(path)
    before = _memory_maps(pid)
    for _ in range(INVOCATIONS):
        application.get(path)
    assert _memory_maps(pid) - before < INVOCATIONS


def test_each_line_in_the_log_of_a_function_is_one_record(
    stack: Stack, application: Application
) -> None:
    in_parallel(8, lambda _: application.get(f"{application.path}/chats"), range(INVOCATIONS))
    records = 0
    for function in stack.file["functions"]:
        log = stack.logs / f"{function}.log"
        for line in log.read_text().splitlines() if log.exists() else []:
            if line.startswith("{"):  # a stack trace of Lambda's runtime has other lines
                json.loads(line)
                records += 1
    assert records > INVOCATIONS


def _memory_maps(pid: int) -> int:
    """The number of memory maps. A thread has two while it runs, and afterwards if its stack is not freed."""
    return len(Path(f"/proc/{pid}/maps").read_text().splitlines())
