"""Starts and stops a stack, and reports its state."""

import json
import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from infra.local.console import StackError, log, log_step, print_raw
from infra.local.deployment import deploy
from infra.local.install import install_for
from infra.local.paths import EXTERNAL_VARIABLES, Stack, port_variable
from infra.local.processes import (
    ManagedProcess,
    is_alive,
    last_lines,
    ports_open_to_others,
    recorded_processes,
    run_in_parallel,
    spawn,
    stop,
    stop_leftovers,
    wait_until,
    write_json,
)
from infra.local.services import Service, wipe
from infra.local.services.elasticmq import ElasticMq
from infra.local.services.localstack import LocalStack
from infra.local.services.mariadb import MariaDB
from infra.local.services.opensearch import OpenSearch
from infra.local.services.valkey import Valkey
from infra.local.stack_secrets import StackSecrets, secrets_of

# They start in parallel. The slowest comes first, which saves time on a machine with two cores.
SERVICES: tuple[Service, ...] = (OpenSearch(), LocalStack(), ElasticMq(), MariaDB(), Valkey())
LOCALSTACK_GRACE_SECONDS = 3.0


def up(stack: Stack, *, fresh: bool = False) -> bool:
    """Start a stack. Returns False if it was running already; nothing is changed then.

    Raises:
        StackError: a service did not start. The services that did are stopped again.
    """
    if read_stack_file(stack) is not None and not dead_services(stack):
        return False
    clean_up_after_a_crash(stack)
    if fresh:
        _remove_data(stack)
    services = services_of(stack)
    own = [service for service in services if service.name not in stack.external]
    _check_ports(stack, own)  # before the installation, which can take minutes
    install_for(stack)
    secrets = secrets_of(stack)
    _move_old_logs(stack)
    wipe(stack.scratch)
    try:
        processes = _start_services(stack, own, secrets)
        urls = {
            service.name: stack.external.get(service.name, service.url(stack, secrets))
            for service in services
        }
        deployed = deploy(stack, urls, secrets)
    except BaseException:
        log("the start failed: stopping what was started …")
        stop_all(stack)
        raise
    pids = {name: process.pid for name, process in processes.items()}
    _write_stack_file(stack, secrets, urls, pids, deployed)
    return True


def down(stack: Stack) -> bool:
    """Stop a stack. Returns whether anything was running."""
    stack.file.unlink(missing_ok=True)
    return stop_all(stack) > 0


def services_of(stack: Stack) -> list[Service]:
    """The services of a stack: those that have a port in it."""
    return [service for service in SERVICES if service.name in stack.ports]


def stop_all(stack: Stack) -> int:
    """Stop every process of this stack, and no other. Returns how many there were."""
    processes = recorded_processes(stack)
    # LocalStack first, since it runs the functions, and they would log that their stores are gone. It has
    # no data to write, and its own shutdown can take a minute, so its grace time is short.
    localstack = [process for process in processes if process.service == LocalStack.name]
    others = [process for process in processes if process.service != LocalStack.name]
    stopped = sum(stop(process, LOCALSTACK_GRACE_SECONDS) for process in localstack)
    if others:
        with ThreadPoolExecutor(max_workers=len(others)) as pool:
            stopped += sum(pool.map(lambda process: stop(process), others))
    stopped += stop_leftovers(stack)
    stack.processes.unlink(missing_ok=True)
    return stopped


def read_stack_file(stack: Stack) -> dict[str, Any] | None:
    """The content of `stack.json`; None if the stack is not up."""
    try:
        content: dict[str, Any] = json.loads(stack.file.read_text())
        return content
    except (FileNotFoundError, ValueError):
        return None


def dead_services(stack: Stack) -> list[str]:
    """The services that were started and have ended."""
    return [process.service for process in recorded_processes(stack) if not is_alive(process)]


def print_summary(stack: Stack) -> None:
    """Print the address of a running stack, its key, and two requests to try."""
    content = read_stack_file(stack)
    assert content is not None
    base, key = content["base_url"], content["admin_key"]
    print_raw(
        f"\n  Base URL   {base}\n  Admin key  {key}\n"
        "\n  Create an application, then list the applications:\n\n"
        f"  curl -s -X POST {base}/applications -H 'Authorization: Bearer {key}' "
        "-H 'Content-Type: application/json' -d '{\"name\": \"demo\"}'\n\n"
        f"  curl -s {base}/applications -H 'Authorization: Bearer {key}'\n"
    )


def print_status(stack: Stack) -> bool:
    """Print the state of each service. Returns whether the stack is up and complete."""
    content = read_stack_file(stack)
    processes = {process.service: process for process in recorded_processes(stack)}
    if content is None and not processes:
        print_raw(f"{stack.name}: not running")
        return False
    secrets = secrets_of(stack)
    healthy = content is not None
    for service in reversed(services_of(stack)):
        state, is_ready = _state(stack, service, secrets, processes.get(service.name), content)
        healthy = healthy and is_ready
        print_raw(f"  {service.title:<11} {state}")
    if content is None:
        print_raw(f"{stack.name}: not completely started. `make down` removes the rest.")
    elif healthy:
        print_raw(f"{stack.name}: up at {content['base_url']}")
    else:
        print_raw(f"{stack.name}: broken. `make logs` shows why, `make restart` repairs it.")
    return healthy


def clean_up_after_a_crash(stack: Stack) -> None:
    """Stop the processes that an earlier start left running."""
    stack.file.unlink(missing_ok=True)
    if count := stop_all(stack):
        log(f"stopped {count} processes of an earlier start")


def start_service(stack: Stack, service: Service, secrets: StackSecrets) -> ManagedProcess:
    """Start a service with its existing data, and wait until it answers.

    Raises:
        StackError: it did not start. The message contains the end of its log.
    """
    with log_step(service.title, "starting", "ready"):
        service.prepare(stack, secrets)
        command = service.command(stack, secrets)
        process = spawn(
            stack,
            service.name,
            command.words,
            directory=command.directory,
            environment=command.environment,
        )
        try:
            wait_until(
                lambda: service.is_ready(stack, secrets),
                lambda: is_alive(process),
                service.title,
                service.start_timeout_seconds,
            )
            _check_that_it_is_private(service, stack)
        except StackError as error:
            output = stack.logs / f"{service.name}.log"
            raise StackError(f"{error} The end of {output}:\n{last_lines(output)}") from None
        return process


def _start_services(
    stack: Stack, services: list[Service], secrets: StackSecrets
) -> dict[str, ManagedProcess]:
    """Start services in parallel. The first failure ends the others."""
    starts = [partial(start_service, stack, service, secrets) for service in services]
    processes = run_in_parallel(starts)
    return {service.name: process for service, process in zip(services, processes, strict=True)}


def _check_ports(stack: Stack, services: list[Service]) -> None:
    for service in services:
        for name in service.port_names:
            port = stack.ports[name]
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    kind = "transport port" if name.endswith("transport") else "port"
                    raise StackError(
                        f"{service.title} cannot use its {kind} {port}: {error.strerror}.\n"
                        f"Stop the program that uses it, or choose another port: "
                        f"{port_variable(name)}=12345" + _external_server_hint(stack, service)
                    ) from None


def _check_that_it_is_private(service: Service, stack: Stack) -> None:
    """These services need no password, or run code, so other machines must not reach them."""
    ports = {stack.ports[name] for name in service.port_names}
    if exposed := ports & ports_open_to_others():
        raise StackError(f"{service.title} listens on more than 127.0.0.1 (port {exposed}).")


def _external_server_hint(stack: Stack, service: Service) -> str:
    variable = EXTERNAL_VARIABLES[stack.name].get(service.name)
    if variable is None:
        return ""
    return f"\nTo use a running {service.title}, give its URL: {variable}=…"


def _move_old_logs(stack: Stack) -> None:
    """Keep the logs of the last run beside the new ones."""
    previous = stack.logs / "previous"
    wipe(previous)
    for file in stack.logs.glob("*.log"):
        shutil.move(file, previous / file.name)


def _remove_data(stack: Stack) -> None:
    """Remove data and secrets. The functions' package stays, since it depends only on the code."""
    for folder in (stack.data, stack.logs, stack.scratch):
        shutil.rmtree(folder, ignore_errors=True)
    (stack.directory / "keys.json").unlink(missing_ok=True)


def _write_stack_file(
    stack: Stack,
    secrets: StackSecrets,
    urls: dict[str, str],
    pids: dict[str, int],
    deployed: dict[str, Any],
) -> None:
    services = {
        _key_of(name): {"url": url, "pid": pids.get(name)}  # no pid: an external server
        for name, url in urls.items()
    }
    content = {
        "stack": stack.name,
        "base_url": deployed["base_url"],
        "admin_key": secrets.admin_key,
        "master_key": secrets.master_key,
        "queues": deployed["queues"],
        "functions": deployed["functions"],
        **services,
        "started_by": os.getpid(),
    }
    write_json(stack.file, content)


def _key_of(service: str) -> str:
    """The key of a service in `stack.json`."""
    return "aws" if service == LocalStack.name else service


def _state(
    stack: Stack,
    service: Service,
    secrets: StackSecrets,
    process: ManagedProcess | None,
    content: dict[str, Any] | None,
) -> tuple[str, bool]:
    if process is None:
        entry = (content or {}).get(_key_of(service.name))
        if entry and entry["pid"] is None:
            return f"external: {entry['url']}", True
        return "not running", False
    if not is_alive(process):
        output = stack.logs / f"{service.name}.log"
        return f"ended (was pid {process.pid}). Its log: {output}", False
    if not service.is_ready(stack, secrets):
        return f"pid {process.pid} runs but does not answer", False
    return f"pid {process.pid}, answers", True
