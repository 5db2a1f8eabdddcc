"""`make mysql`, `make redis`, `make logs`: looking into a running stack."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from infra.local.console import StackError, plain
from infra.local.install import MARIADB
from infra.local.layout import DEV_VENV, ROOT, Stack
from infra.local.parts.mariadb import client_command
from infra.local.stack import description


def open_mysql(stack: Stack) -> None:
    """Become the command-line client of the stack's MySQL."""
    url = urlsplit(_running(stack)["mysql"]["url"])
    if not (MARIADB / "bin/mariadb").exists():
        raise StackError("The client comes with our own MariaDB, and this stack uses yours.")
    command = client_command(url.port or 3306, url.username or "root", url.hostname or "127.0.0.1")
    os.environ["MYSQL_PWD"] = unquote(url.password or "")
    os.execv(command[0], [*command, url.path.lstrip("/")])  # noqa: S606  # no shell is the point


def open_redis(stack: Stack) -> None:
    """Become a small command line on the stack's Valkey (the wheel has no valkey-cli)."""
    url = _running(stack)["redis"]["url"]
    python = str(DEV_VENV / "bin/python")
    os.chdir(ROOT)
    os.execv(python, [python, "-m", "infra.local.redis_shell", url])  # noqa: S606


def follow_logs(stack: Stack) -> None:
    """Become `tail` on every log of the stack; new functions' logs included from the next call."""
    stack.logs.mkdir(parents=True, exist_ok=True)
    logs = sorted(str(log) for log in stack.logs.glob("*.log"))
    if not logs:
        raise StackError(f"{stack.name} has no logs yet; `make up` starts it.")
    plain(f"Following {len(logs)} logs in {stack.logs}; Ctrl-C ends it.")
    os.execvp("tail", ["tail", "-n", "20", "-F", *logs])  # noqa: S606


def _running(stack: Stack) -> dict[str, Any]:
    content = description(stack)
    if content is None:
        raise StackError(f"{stack.name} is not running; `make up` starts it.")
    return content
