"""Starting a stack, stopping it, and saying how it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.local.console import StackError, cancelled, plain, say, step
from infra.local.deploying import deploy
from infra.local.install import install_for
from infra.local.keys import Keys, keys_of
from infra.local.layout import EXTERNAL_VARIABLES, Stack, port_variable
from infra.local.parts import Part, wipe
from infra.local.parts.elasticmq import ElasticMq
from infra.local.parts.localstack import LocalStack
from infra.local.parts.mariadb import MariaDB
from infra.local.parts.opensearch import OpenSearch
from infra.local.parts.valkey import Valkey
from infra.local.processes import (
    Started,
    is_alive,
    last_lines,
    ports_open_to_others,
    recorded,
    spawn,
    stop,
    stop_marked,
    wait_until,
    write_json,
)

PARTS: tuple[Part, ...] = (OpenSearch(), LocalStack(), ElasticMq(), MariaDB(), Valkey())
"""The slowest first: they start in parallel, but a machine with two cores notices."""
LOCALSTACK_GRACE_SECONDS = 3.0


def up(stack: Stack, *, fresh: bool = False) -> bool:
    """Start a stack. Says False when it was already running, and leaves it alone then.

    Raises:
        StackError: a part did not start; everything that had started is stopped again.
    """
    if description(stack) is not None and not dead_parts(stack):
        return False
    clean_up_after_a_crash(stack)
    if fresh:
        _forget(stack)
    parts = parts_of(stack)
    scoped_to_user = [part for part in parts if part.name not in stack.external]
    _check_ports(stack, scoped_to_user)  # before minutes of installing, rather than after them
    install_for(stack)
    keys = keys_of(stack)
    _start_logs_anew(stack)
    wipe(stack.scratch)
    try:
        with ThreadPoolExecutor(max_workers=len(parts)) as pool:
            try:
                futures = {
                    part.name: pool.submit(start_part, stack, part, keys) for part in scoped_to_user
                }
                _first_error([future.exception() for future in futures.values()])
            except BaseException:
                cancelled.set()
                raise
        pids = {name: future.result().pid for name, future in futures.items()}
        urls = {part.name: stack.external.get(part.name, part.url(stack, keys)) for part in parts}
        deployed = deploy(stack, urls, keys)
    except BaseException:
        say("that did not work: stopping what was started …")
        stop_all(stack)
        raise
    _describe(stack, keys, urls, pids, deployed)
    return True


def down(stack: Stack) -> bool:
    """Stop a stack. Says whether anything was running."""
    stack.description.unlink(missing_ok=True)
    return stop_all(stack) > 0


def parts_of(stack: Stack) -> list[Part]:
    """The services of a stack: those that have a port in it."""
    return [part for part in PARTS if part.name in stack.ports]


def stop_all(stack: Stack) -> int:
    """Stop every process this stack has started, and no other. Says how many there were."""
    started = recorded(stack)
    # LocalStack first: it runs the functions, which would log that their stores are gone. It keeps
    # nothing, and its own way of stopping can take a minute.
    first = [one for one in started if one.part == LocalStack.name]
    rest = [one for one in started if one.part != LocalStack.name]
    stopped = sum(stop(one, LOCALSTACK_GRACE_SECONDS) for one in first)
    if rest:
        with ThreadPoolExecutor(max_workers=len(rest)) as pool:
            stopped += sum(pool.map(lambda one: stop(one), rest))
    stopped += stop_marked(stack)
    stack.processes.unlink(missing_ok=True)
    return stopped


def description(stack: Stack) -> dict[str, Any] | None:
    """What `stack.json` says, or None while the stack is not up."""
    try:
        content: dict[str, Any] = json.loads(stack.description.read_text())
        return content
    except (FileNotFoundError, ValueError):
        return None


def dead_parts(stack: Stack) -> list[str]:
    """The parts that were started and do not run any more."""
    return [one.part for one in recorded(stack) if not is_alive(one)]


def print_summary(stack: Stack) -> None:
    """Where it is, and two commands to try."""
    content = description(stack)
    assert content is not None
    base, key = content["base_url"], content["admin_key"]
    plain(
        f"\n  Base URL   {base}\n  Admin key  {key}\n"
        "\n  Create an application, then list the applications:\n\n"
        f"  curl -s -X POST {base}/applications -H 'Authorization: Bearer {key}' "
        "-H 'Content-Type: application/json' -d '{\"name\": \"demo\"}'\n\n"
        f"  curl -s {base}/applications -H 'Authorization: Bearer {key}'\n"
    )


def print_status(stack: Stack) -> bool:
    """Say how each part is. True when the stack is up and whole."""
    content = description(stack)
    started = {one.part: one for one in recorded(stack)}
    if content is None and not started:
        plain(f"{stack.name}: not running")
        return False
    keys = keys_of(stack)
    whole = content is not None
    for part in reversed(parts_of(stack)):
        state, good = _state(stack, part, keys, started.get(part.name), content)
        whole = whole and good
        plain(f"  {part.title:<11} {state}")
    if content is None:
        plain(f"{stack.name}: half started; `make down` clears it away")
    elif whole:
        plain(f"{stack.name}: up at {content['base_url']}")
    else:
        plain(f"{stack.name}: broken, see above and `make logs`; `make restart` repairs it")
    return whole


def clean_up_after_a_crash(stack: Stack) -> None:
    """Whatever an earlier start left running is stopped before a new one."""
    stack.description.unlink(missing_ok=True)
    if count := stop_all(stack):
        say(f"stopped {count} processes that an earlier start had left behind")


def start_part(stack: Stack, part: Part, keys: Keys) -> Started:
    """Start one part, with the data it has, and wait until it answers.

    Raises:
        StackError: it did not start.
    """
    with step(part.title, "starting", "ready"):
        part.prepare(stack, keys)
        launch = part.launch(stack, keys)
        started = spawn(
            stack,
            part.name,
            launch.command,
            directory=launch.directory,
            environment=launch.environment,
        )
        try:
            wait_until(
                lambda: part.is_ready(stack, keys),
                lambda: is_alive(started),
                part.title,
                part.patience_seconds,
            )
            _check_that_it_is_private(part, stack)
        except StackError as error:
            log = stack.logs / f"{part.name}.log"
            raise StackError(f"{error} The end of {log}:\n{last_lines(log)}") from None
        return started


def _first_error(errors: list[BaseException | None]) -> None:
    found = [error for error in errors if error is not None]
    telling = [error for error in found if isinstance(error, StackError)]
    if found:
        raise (telling or found)[0]


def _check_ports(stack: Stack, parts: list[Part]) -> None:
    for part in parts:
        for name in part.port_names:
            port = stack.ports[name]
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    use = "its transport port" if name.endswith("transport") else "its port"
                    raise StackError(
                        f"Port {port}, which {part.title} needs ({use}), can't be had: "
                        f"{error.strerror}.\n"
                        f"Stop what uses it, or choose another: {port_variable(name)}=12345"
                        + _or_use_it(stack, part)
                    ) from None


def _check_that_it_is_private(part: Part, stack: Stack) -> None:
    """These services ask for no password, or run code: other machines must not reach them."""
    ports = {stack.ports[name] for name in part.port_names}
    if exposed := ports & ports_open_to_others():
        raise StackError(f"{part.title} listens on more than 127.0.0.1 (port {exposed}).")


def _or_use_it(stack: Stack, part: Part) -> str:
    variable = EXTERNAL_VARIABLES[stack.name].get(part.name)
    if variable is None:
        return ""
    return f"\nTo use a {part.title} that is already there, give its URL: {variable}=…"


def _start_logs_anew(stack: Stack) -> None:
    """The logs of the last run are kept beside those of this one."""
    previous = stack.logs / "previous"
    wipe(previous)
    for log in stack.logs.glob("*.log"):
        shutil.move(log, previous / log.name)


def _forget(stack: Stack) -> None:
    """Drop the data. What was packaged stays: it depends on the code only."""
    for folder in (stack.data, stack.logs, stack.scratch):
        shutil.rmtree(folder, ignore_errors=True)
    (stack.directory / "keys.json").unlink(missing_ok=True)


def _describe(
    stack: Stack,
    keys: Keys,
    urls: dict[str, str],
    pids: dict[str, int],
    deployed: dict[str, Any],
) -> None:
    services = {
        "aws" if name == LocalStack.name else name: {"url": url, "pid": pids.get(name)}
        for name, url in urls.items()
    }
    content = {
        "stack": stack.name,
        "base_url": deployed["base_url"],
        "admin_key": keys.admin_key,
        "master_key": keys.master_key,
        "queues": deployed["queues"],
        "functions": deployed["functions"],
        **services,
        "started_by": os.getpid(),
    }
    write_json(stack.description, content)


def _state(
    stack: Stack,
    part: Part,
    keys: Keys,
    started: Started | None,
    content: dict[str, Any] | None,
) -> tuple[str, bool]:
    if started is None:
        known = (content or {}).get("aws" if part.name == "localstack" else part.name)
        if known and known["pid"] is None:
            return f"not ours: {known['url']}", True
        return "not running", False
    if not is_alive(started):
        return f"DEAD (was pid {started.pid}); see {stack.logs / part.name}.log", False
    if not part.is_ready(stack, keys):
        return f"pid {started.pid} runs but does not answer", False
    return f"pid {started.pid}, answers", True
