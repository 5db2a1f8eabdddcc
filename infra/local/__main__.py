"""`python -m infra.local COMMAND`: the commands behind the Makefile."""

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
from infra.local.arguments import Handler, parse
from infra.local.console import (
    CancelledError,
    StackError,
    cancelled,
    log,
    print_error,
    print_raw,
)
from infra.local.deployment import deploy, destroy, run_on_aws
from infra.local.install import (
    install_dev,
    install_for,
    install_template_checks,
    installer_lock,
)
from infra.local.paths import DEFAULT_PORTS, DEV_VENV, VAR, Stack, stack_named
from infra.local.processes import recorded_processes, write_json
from infra.local.stack import (
    dead_services,
    down,
    print_status,
    print_summary,
    read_stack_file,
    up,
)
from infra.local.stack_secrets import secrets_of

WATCH_SECONDS = 1.0
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run one command. Returns the exit code."""
    arguments = parse(COMMANDS, __doc__)
    for number in ENDING_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        return arguments.command(arguments) or 0
    except StackError as error:
        print_error(f"\n{error}")
        return 1
    except BrokenPipeError:
        # The reader of our output (such as `head`) has ended.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, CancelledError):
        print_error("\nInterrupted.")
        return 130


def command_run(arguments: argparse.Namespace) -> int:
    """Start the stack, wait for Ctrl-C, stop it."""
    stack = stack_named(arguments.stack)
    with _stack_lock(stack):
        started = up(stack, fresh=arguments.fresh)
        print_summary(stack)
    if not started:
        print_raw(f"  {stack.name} was running already. `make down` stops it.")
        return 0
    print_raw("  Ctrl-C stops it. In another terminal: make logs, make status, make deploy.\n")
    try:
        return _watch(stack)
    except KeyboardInterrupt:
        return 0
    finally:
        if recorded_processes(stack):
            _stop(stack)


def command_up(arguments: argparse.Namespace) -> None:
    """Start the stack in the background."""
    stack = stack_named(arguments.stack)
    with _stack_lock(stack):
        if not up(stack, fresh=arguments.fresh):
            log(f"{stack.name} is running already")
        print_summary(stack)
    print_raw("  `make down` stops it.\n")


def command_down(arguments: argparse.Namespace) -> None:
    """Stop the stack."""
    stack = stack_named(arguments.stack)
    with _stack_lock(stack):
        _stop(stack)


def command_restart(arguments: argparse.Namespace) -> None:
    """Stop the stack and start it again, with its data."""
    command_down(arguments)
    command_up(arguments)


def command_status(arguments: argparse.Namespace) -> int:
    """Print the state of each service."""
    return 0 if print_status(stack_named(arguments.stack)) else 3


def command_logs(arguments: argparse.Namespace) -> None:
    """Follow all logs of the stack."""
    clients.follow_logs(stack_named(arguments.stack))


def command_mysql(arguments: argparse.Namespace) -> None:
    """Open a command line on the stack's MySQL."""
    clients.open_mysql(stack_named(arguments.stack))


def command_redis(arguments: argparse.Namespace) -> None:
    """Open a command line on the stack's Valkey."""
    clients.open_redis(stack_named(arguments.stack))


def command_deploy(arguments: argparse.Namespace) -> int:
    """Deploy the code of this checkout to a running stack, or to AWS."""
    if arguments.stage not in DEFAULT_PORTS:
        with installer_lock():
            install_dev()
        return run_on_aws("infra.deploy", arguments.stage)
    stack = stack_named(arguments.stage)
    with _stack_lock(stack):
        content, urls = _running(stack)
        with installer_lock():
            install_dev()
        deployed = deploy(stack, urls, secrets_of(stack))
        write_json(stack.file, {**content, **deployed})
        print_raw(f"\n  {deployed['base_url']}\n")
    return 0


def command_destroy(arguments: argparse.Namespace) -> int:
    """Remove a stage, after a question; its data only if --with-data is given."""
    words = ["--with-data"] if arguments.with_data else []
    if arguments.stage not in DEFAULT_PORTS:
        return run_on_aws("infra.deploy.destroy", arguments.stage, words)
    stack = stack_named(arguments.stage)
    with _stack_lock(stack):
        _, urls = _running(stack)
        return destroy(stack, urls, secrets_of(stack), words)


def command_install(arguments: argparse.Namespace) -> None:
    """Install everything, start nothing."""
    install_for(stack_named(arguments.stack))


def command_clean(arguments: argparse.Namespace) -> None:
    """Stop every stack, then remove what was installed and stored."""
    for name in DEFAULT_PORTS:
        _stop(stack_named(name))
    for folder in (VAR, DEV_VENV):
        shutil.rmtree(folder, ignore_errors=True)
    log("removed var/ and .venv/")


def command_check(arguments: argparse.Namespace) -> int:
    """Run the static checks."""
    with installer_lock():
        install_dev()
        install_template_checks()
    return checks.static_checks()


def command_simulate(arguments: argparse.Namespace) -> int:
    """Run the protocol with many random seeds."""
    with installer_lock():
        install_dev()
    return checks.run_simulation(arguments.seeds, arguments.jobs)


def command_test(arguments: argparse.Namespace) -> int:
    """Run the static checks, then all tests on a fresh stack of their own."""
    stack = stack_named("test")
    with installer_lock():
        install_dev()
        install_template_checks()
    if not arguments.only_tests and (code := checks.static_checks()):
        return code
    with _stack_lock(stack):
        try:
            up(stack, fresh=True)
            code = checks.run_pytest(stack, arguments.pytest_arguments)
        finally:
            _stop(stack)
    for line in checks.closing_lines(stack):
        print_raw(line)
    return code


def command_faults(arguments: argparse.Namespace) -> int:
    """Break a fresh stack in many ways while clients use it."""
    stack = stack_named("faults")
    with _stack_lock(stack):
        try:
            up(stack, fresh=True)
            return checks.run_faults(stack, arguments.only, arguments.mix)
        finally:
            _stop(stack)


def command_bench(arguments: argparse.Namespace) -> int:
    """Measure the product on a fresh stack."""
    stack = stack_named("bench")
    with _stack_lock(stack):
        try:
            up(stack, fresh=True)
            return checks.run_bench(stack, arguments.only)
        finally:
            _stop(stack)


COMMANDS: dict[str, Handler] = {
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


def _running(stack: Stack) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of the stack file, and the addresses for the deployment."""
    content = read_stack_file(stack)
    if content is None:
        raise StackError(f"{stack.name} is not running. `make up` starts it and deploys the code.")
    urls = {name: content[name]["url"] for name in ("redis", "mysql", "opensearch")}
    return content, {**urls, "localstack": content["aws"]["url"]}


def _watch(stack: Stack) -> int:
    """Wait for Ctrl-C or another command that stops the stack. Report each service that ends."""
    reported: set[str] = set()
    while read_stack_file(stack) is not None:
        for service in set(dead_services(stack)) - reported:
            reported.add(service)
            print_error(f"{service} has ended. Its log: {stack.logs / service}.log")
        time.sleep(WATCH_SECONDS)
    log(f"{stack.name} was stopped by another command")
    return 0


def _stop(stack: Stack) -> None:
    log(f"{stack.name}: stopping …")
    log(f"{stack.name}: stopped" if down(stack) else f"{stack.name}: nothing was running")


def _interrupt(number: int, frame: object) -> None:
    """End the command. Further signals are ignored, so that they cannot interrupt the clean-up."""
    for ending in ENDING_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _stack_lock(stack: Stack) -> Iterator[None]:
    """Let one command change a stack at a time. A second command waits."""
    stack.directory.mkdir(parents=True, exist_ok=True)
    with (stack.directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"{stack.name}: waiting for another command on this stack …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        except KeyboardInterrupt:
            cancelled.set()
            raise


if __name__ == "__main__":
    os.umask(0o077)  # the stack's files contain keys
    sys.exit(main())
