"""`make mysql`, `make redis`, `make logs`: programs that show what is in a running stack."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from infra.local.console import StackError, print_raw
from infra.local.install import MARIADB, install_iredis
from infra.local.paths import Stack
from infra.local.services.mariadb import client_command
from infra.local.stack import read_stack_file


def open_mysql(stack: Stack) -> None:
    """Replace this process by the command-line client of the stack's MySQL.

    Raises:
        StackError: the stack does not run, or uses an external server.
    """
    url = urlsplit(_stack_file(stack)["mysql"]["url"])
    if not (MARIADB / "bin/mariadb").exists():
        raise StackError("The client is part of MariaDB, and this stack uses an external MySQL.")
    command = client_command(url.port or 3306, url.username or "root", url.hostname or "127.0.0.1")
    os.environ["MYSQL_PWD"] = unquote(url.password or "")
    os.execv(command[0], [*command, url.path.lstrip("/")])  # noqa: S606  # without a shell on purpose


def open_redis(stack: Stack) -> None:
    """Replace this process by iredis on the stack's Valkey (the wheel has no valkey-cli).

    Raises:
        StackError: the stack does not run, or iredis could not be installed.
    """
    url = _stack_file(stack)["redis"]["url"]
    iredis = str(install_iredis())
    home = stack.directory / "home"  # iredis writes its history into the home
    home.mkdir(parents=True, exist_ok=True)
    os.execve(iredis, [iredis, "--url", url], {**os.environ, "HOME": str(home)})  # noqa: S606


def follow_logs(stack: Stack) -> None:
    """Replace this process by `tail` on every log of the stack.

    Raises:
        StackError: there are no logs yet.
    """
    logs = sorted(str(log) for log in stack.logs.glob("*.log"))
    if not logs:
        raise StackError(f"{stack.name} has no logs yet. `make up` starts it.")
    print_raw(f"Following {len(logs)} logs in {stack.logs}. Ctrl-C ends it.")
    os.execvp("tail", ["tail", "-n", "20", "-F", *logs])  # noqa: S606


def _stack_file(stack: Stack) -> dict[str, Any]:
    content = read_stack_file(stack)
    if content is None:
        raise StackError(f"{stack.name} is not running. `make up` starts it.")
    return content
