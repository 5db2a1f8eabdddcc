"""The local stack itself holds out."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Application, Stack

INVOCATIONS = 200


def test_invocations_leave_no_threads_behind_in_localstack(
    stack: Stack, application: Application
) -> None:
    pid = stack.file["aws"].get("pid")
    if pid is None:
        pytest.skip("LocalStack is not ours")
    path = f"{application.path}/chats"
    application.get(path)
    before = _memory_maps(pid)
    for _ in range(INVOCATIONS):
        application.get(path)
    assert _memory_maps(pid) - before < INVOCATIONS


def _memory_maps(pid: int) -> int:
    """A thread that runs, or whose stack is kept after it, has two."""
    return len(Path(f"/proc/{pid}/maps").read_text().splitlines())
