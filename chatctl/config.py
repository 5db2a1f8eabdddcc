"""Where the services of Ordinal are, and which applications chatctl has created.

All addresses come from the environment, or all come from the stack file. A mix of both could read the counts
of one system and move the records of another.

The state file, `var/chatctl.json`, holds `{base URL: {name: {"token", "key"}}}`. With it the next import
finds its application again. Only the owner of the file can read it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import msgspec

from chalicelib import bootstrap
from chalicelib.operators.errors import UnknownQueueError
from chalicelib.operators.queues import QueueWithDlq, queues_with_dlqs
from chalicelib.settings import QUEUES, Settings
from chatctl.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

STACK_FILE = Path("var/local/stack.json")
STATE_FILE = Path("var/chatctl.json")


# --- addresses


class _Service(msgspec.Struct, frozen=True):
    url: str


class _Stack(msgspec.Struct, frozen=True):
    """The stack file, which `infra/local` writes. Queues have their full names: `ordinal-local-chats`."""

    base_url: str
    admin_key: str
    queues: dict[str, str]
    redis: _Service
    mysql: _Service
    aws: _Service
    opensearch: _Service


class Targets(msgspec.Struct, frozen=True):
    """Addresses and the admin key. What is not known is empty. `aws_url` is empty for the real AWS."""

    source: str
    base_url: str
    admin_key: str
    redis_url: str
    mysql_url: str
    opensearch_url: str
    queue_urls: Mapping[str, str]
    dead_letter_queue_urls: Mapping[str, str]
    aws_url: str = ""

    def require(self, name: str) -> str:
        """The value of a field. Raises `ConfigError` if it is empty."""
        value: str = getattr(self, name)
        if not value:
            raise ConfigError(f"{self.source} does not name the {name}")
        return value

    def queues(self, only: str | None = None) -> list[QueueWithDlq]:
        """All queues, or one. Raises `ConfigError` if a URL is missing."""
        try:
            return queues_with_dlqs(self.queue_urls, self.dead_letter_queue_urls, only)
        except UnknownQueueError as error:
            raise ConfigError(f"{self.source}: {error}") from error

    def sqs(self) -> "SQSClient":
        """A client for the queues. LocalStack accepts any credential, and must not get a real one."""
        import boto3
        from botocore.exceptions import BotoCoreError

        local: dict[str, Any] = {
            "endpoint_url": self.aws_url,
            "region_name": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        try:
            client: SQSClient = boto3.client("sqs", **(local if self.aws_url else {}))
        except BotoCoreError as error:
            raise ConfigError(f"SQS: {error}") from error
        return client


def stack_option(command: Any) -> Any:
    """`--stack-file`, the same for all commands."""
    return click.option(
        "--stack-file",
        type=click.Path(path_type=Path),
        help=f"Read all addresses from this file. [default: the environment, or {STACK_FILE}]",
    )(command)


def load_targets(stack_file: Path | None, settings: Settings | None = None) -> Targets:
    """From the given file; or from the environment if it names a store or a queue; or from `STACK_FILE`.

    Raises `ConfigError`.
    """
    settings = settings or bootstrap.settings()
    addresses = (
        settings.redis_url,
        settings.mysql_url,
        settings.opensearch_url,
        *settings.queue_urls.values(),
    )
    if stack_file is None and any(addresses):
        return _from_settings(settings)
    file = stack_file or STACK_FILE
    if stack_file is None and not file.exists():
        raise ConfigError(
            f"neither ORDINAL_* in the environment nor {file} names the services of Ordinal:"
            " is the stack up (`make up`)?"
        )
    return _from_stack(file, _read_stack(file))


def _from_settings(settings: Settings) -> Targets:
    return Targets(
        source="the environment (ORDINAL_*)",
        base_url="",
        admin_key=settings.resolve_secret(settings.admin_key),
        redis_url=settings.url("redis") if settings.redis_url else "",
        mysql_url=settings.url("mysql") if settings.mysql_url else "",
        opensearch_url=settings.opensearch_url,
        queue_urls=settings.queue_urls,
        dead_letter_queue_urls=settings.dead_letter_queue_urls,
    )


def _from_stack(file: Path, stack: _Stack) -> Targets:
    return Targets(
        source=str(file),
        base_url=stack.base_url,
        admin_key=stack.admin_key,
        redis_url=stack.redis.url,
        mysql_url=stack.mysql.url,
        opensearch_url=stack.opensearch.url,
        queue_urls={queue: _queue_url(stack, queue) for queue in QUEUES},
        dead_letter_queue_urls={
            queue: _queue_url(stack, f"{queue}-dead-letters") for queue in QUEUES
        },
        aws_url=stack.aws.url,
    )


def _read_stack(file: Path) -> _Stack:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Stack)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file} is not a stack file: {error}") from None


def _queue_url(stack: _Stack, short_name: str) -> str:
    """The URL of the queue whose full name ends with the short one; empty if there is none."""
    urls = (url for name, url in stack.queues.items() if f"-{name}".endswith(f"-{short_name}"))
    return next(urls, "")


# --- the state file


class Credential(msgspec.Struct, frozen=True):
    """The token of an application and its secret key."""

    token: str
    key: str


State = dict[str, dict[str, Credential]]


def load_credentials(file: Path, base_url: str, name: str) -> list[Credential]:
    """The credentials that the application of this name may have, the most likely first.

    LocalStack gives the API a new path at each start, while MySQL keeps its data. So credentials of the
    same host and another path may be valid too. Only the service knows.
    """
    state = _read_state(file)
    host = urlsplit(base_url)[:2]
    others = [url for url in state if url != base_url and urlsplit(url)[:2] == host]
    urls = [base_url, *reversed(others)]
    return [state[url][name] for url in urls if name in state.get(url, {})]


def save_credential(file: Path, base_url: str, name: str, credential: Credential) -> None:
    """Write the state file, as a whole or not at all."""
    state = _read_state(file)
    state.setdefault(base_url, {})[name] = credential
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(file.name + ".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
    scratch.replace(file)


def _read_state(file: Path) -> State:
    try:
        return msgspec.json.decode(file.read_bytes(), type=State)
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
