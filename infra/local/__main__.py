"""`python -m infra.local COMMAND`: what the Makefile calls."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.local import checks, clients
from infra.local.arguments import Command, parse
from infra.local.console import CancelledError, StackError, cancelled, complain, plain, say
from infra.local.deploying import deploy, destroy, on_aws
from infra.local.install import (
    install_dev,
    install_for,
    install_template_checks,
    only_one_installer,
)
from infra.local.keys import keys_of
from infra.local.layout import DEFAULT_PORTS, DEV_VENV, VAR, Stack, stack_named
from infra.local.processes import recorded, write_json
from infra.local.stack import (
    dead_parts,
    description,
    down,
    print_status,
    print_summary,
    up,
)

WATCH_SECONDS = 1.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run one command; the exit code says whether it worked."""
    arguments = parse(COMMANDS, __doc__)
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        return arguments.command(arguments) or 0
    except StackError as error:
        complain(f"\n{error}")
        return 1
    except BrokenPipeError:
        # Whoever read our output (`head`) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, CancelledError):
        complain("\nInterrupted.")
        return 130


def command_run(arguments: argparse.Namespace) -> int:
    """Start the stack, wait for Ctrl-C, stop it."""
    stack = stack_named(arguments.stack)
    with _only_command(stack):
        started = up(stack, fresh=arguments.fresh)
        print_summary(stack)
    if not started:
        plain(f"  {stack.name} was already running; `make down` stops it.")
        return 0
    plain("  Ctrl-C stops it. In another terminal: make logs, make status, make deploy.\n")
    try:
        return _watch(stack)
    except KeyboardInterrupt:
        return 0
    finally:
        if recorded(stack):
            _stop(stack)


def command_up(arguments: argparse.Namespace) -> None:
    """Start the stack and leave it running."""
    stack = stack_named(arguments.stack)
    with _only_command(stack):
        if not up(stack, fresh=arguments.fresh):
            say(f"{stack.name} is already running")
        print_summary(stack)
    plain("  `make down` stops it.\n")


def command_down(arguments: argparse.Namespace) -> None:
    """Stop the stack."""
    stack = stack_named(arguments.stack)
    with _only_command(stack):
        _stop(stack)


def command_restart(arguments: argparse.Namespace) -> None:
    """Stop the stack and start it again, with its data."""
    command_down(arguments)
    command_up(arguments)


def command_status(arguments: argparse.Namespace) -> int:
    """Say how each part is."""
    return 0 if print_status(stack_named(arguments.stack)) else 3


def command_logs(arguments: argparse.Namespace) -> None:
    """Follow all logs of the stack."""
    clients.follow_logs(stack_named(arguments.stack))


def command_mysql(arguments: argparse.Namespace) -> None:
    """Open a command line on the stack's database."""
    clients.open_mysql(stack_named(arguments.stack))


def command_redis(arguments: argparse.Namespace) -> None:
    """Open a command line on the stack's Valkey."""
    clients.open_redis(stack_named(arguments.stack))


def command_deploy(arguments: argparse.Namespace) -> int:
    """Put the code of this working copy onto the running stack, or onto AWS."""
    if arguments.stage not in DEFAULT_PORTS:
        with only_one_installer():
            install_dev()
        return on_aws("infra.deploy", arguments.stage)
    stack = stack_named(arguments.stage)
    with _only_command(stack):
        content, urls = _running(stack)
        with only_one_installer():
            install_dev()
        deployed = deploy(stack, urls, keys_of(stack))
        write_json(stack.description, {**content, **deployed})
        plain(f"\n  {deployed['base_url']}\n")
    return 0


def command_destroy(arguments: argparse.Namespace) -> int:
    """Take away what was deployed, the data only where that is told too; asks first."""
    words = ["--with-data"] if arguments.with_data else []
    if arguments.stage not in DEFAULT_PORTS:
        return on_aws("infra.deploy.destroy", arguments.stage, words)
    stack = stack_named(arguments.stage)
    with _only_command(stack):
        _, urls = _running(stack)
        return destroy(stack, urls, keys_of(stack), words)


def _running(stack: Stack) -> tuple[dict[str, Any], dict[str, str]]:
    """The stack's file, and the addresses that the deployment needs."""
    content = description(stack)
    if content is None:
        raise StackError(f"{stack.name} is not running; `make up` starts it, code included.")
    urls = {name: content[name]["url"] for name in ("redis", "mysql", "opensearch")}
    return content, {**urls, "localstack": content["aws"]["url"]}


def command_install(arguments: argparse.Namespace) -> None:
    """Install everything without starting anything."""
    install_for(stack_named(arguments.stack))


def command_clean(arguments: argparse.Namespace) -> None:
    """Stop every stack, then remove all that was generated."""
    for name in DEFAULT_PORTS:
        _stop(stack_named(name))
    for folder in (VAR, DEV_VENV):
        shutil.rmtree(folder, ignore_errors=True)
    say("removed var/ and .venv/")


def command_check(arguments: argparse.Namespace) -> int:
    """Run the static checks only."""
    with only_one_installer():
        install_dev()
        install_template_checks()
    return checks.static_checks()


def command_simulate(arguments: argparse.Namespace) -> int:
    """Play the protocol through many random runs."""
    with only_one_installer():
        install_dev()
    return checks.run_simulation(arguments.seeds, arguments.jobs)


def command_test(arguments: argparse.Namespace) -> int:
    """Check the code, start a fresh test stack, run the tests, stop the stack."""
    stack = stack_named("test")
    with only_one_installer():
        install_dev()
        install_template_checks()
    if not arguments.only_tests and (code := checks.static_checks()):
        return code
    with _only_command(stack):
        try:
            up(stack, fresh=True)
            code = checks.run_pytest(stack, arguments.pytest_arguments)
        finally:
            _stop(stack)
    for line in checks.closing_lines(stack):
        plain(line)
    return code


def command_faults(arguments: argparse.Namespace) -> int:
    """Start a fresh stack, break it in every way there is while clients use it, stop it."""
    stack = stack_named("faults")
    with _only_command(stack):
        try:
            up(stack, fresh=True)
            return checks.run_faults(stack, arguments.only, arguments.mix)
        finally:
            _stop(stack)


def command_bench(arguments: argparse.Namespace) -> int:
    """Start a fresh stack, measure the product on it, stop it."""
    stack = stack_named("bench")
    with _only_command(stack):
        try:
            up(stack, fresh=True)
            return checks.run_bench(stack, arguments.only)
        finally:
            _stop(stack)


def _watch(stack: Stack) -> int:
    """Wait until somebody presses Ctrl-C, stops the stack from elsewhere, or a part dies."""
    told: set[str] = set()
    while description(stack) is not None:
        for part in set(dead_parts(stack)) - told:
            told.add(part)
            complain(f"{part} has ended by itself; see {stack.logs / part}.log")
        time.sleep(WATCH_SECONDS)
    say(f"{stack.name} was stopped from elsewhere")
    return 0


def _stop(stack: Stack) -> None:
    say(f"{stack.name}: stopping …")
    say(f"{stack.name}: stopped" if down(stack) else f"{stack.name}: nothing was running")


def _interrupt(number: int, frame: object) -> None:
    """End the command. What follows is clearing up, and a second Ctrl-C must not cut that short."""
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _only_command(stack: Stack) -> Iterator[None]:
    """Two commands on one stack would undo each other's work."""
    stack.directory.mkdir(parents=True, exist_ok=True)
    with (stack.directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{stack.name}: waiting for another command on this stack …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        except KeyboardInterrupt:
            cancelled.set()
            raise


COMMANDS: dict[str, Command] = {
    "run": command_run,
    "up": command_up,
    "down": command_down,
    "restart": command_restart,
    "status": command_status,
    "logs": command_logs,
    "mysql": command_mysql,
    "redis": command_redis,
    "deploy": command_deploy,
    "destroy": command_destroy,
    "install": command_install,
    "test": command_test,
    "faults": command_faults,
    "bench": command_bench,
    "check": command_check,
    "simulate": command_simulate,
    "clean": command_clean,
}


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
