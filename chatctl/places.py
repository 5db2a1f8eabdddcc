"""Where the parts of Ordinal are: what the environment says, or else the stack file.

All of it comes from one of the two. Half from each could read the counts of one system and move the
records of another.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from chalicelib import bootstrap
from chalicelib.settings import QUEUES, Settings
from chatctl.failures import ChatctlError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

STACK_FILE = Path("var/local/stack.json")


class _Part(msgspec.Struct, frozen=True):
    url: str


class Stack(msgspec.Struct, frozen=True):
    """The stack file (`infra/local` writes it). Queues go by their full names: `ordinal-local-chats`."""

    base_url: str
    admin_key: str
    queues: dict[str, str]
    redis: _Part
    mysql: _Part
    aws: _Part
    opensearch: _Part


class Places(msgspec.Struct, frozen=True):
    """Addresses and the admin key; what is not known is empty. `aws_url` is empty for the real AWS."""

    source: str
    base_url: str
    admin_key: str
    redis_url: str
    mysql_url: str
    opensearch_url: str
    queue_urls: Mapping[str, str]
    dead_queue_urls: Mapping[str, str]
    aws_url: str = ""

    def require(self, name: str) -> str:
        """Raises `ChatctlError` where it is not known."""
        value: str = getattr(self, name)
        if not value:
            raise ChatctlError(f"{self.source} does not say what the {name} is")
        return value

    def sqs(self) -> "SQSClient":
        """A client for the queues; LocalStack takes any credential, and must not be shown a real one."""
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
            raise ChatctlError(f"SQS: {error}") from error
        return client


def stack_option(command: Any) -> Any:
    """`--stack-file`, the same for all commands."""
    return click.option(
        "--stack-file",
        type=click.Path(path_type=Path),
        help=f"Take all addresses from this file. [default: the environment, or {STACK_FILE}]",
    )(command)


def find_places(stack_file: Path | None, settings: Settings | None = None) -> Places:
    """From the file that is named; or the environment where it names a store; or the usual file."""
    settings = settings or bootstrap.settings()
    named = (
        settings.redis_url,
        settings.mysql_url,
        settings.opensearch_url,
        *settings.queue_urls.values(),
    )
    if stack_file is None and any(named):
        return _from_settings(settings)
    file = stack_file or STACK_FILE
    if stack_file is None and not file.exists():
        raise ChatctlError(
            f"neither ORDINAL_* in the environment nor {file} says where Ordinal is:"
            " is the stack up (`make up`)?"
        )
    return _from_stack(file, _read(file))


def _from_settings(settings: Settings) -> Places:
    return Places(
        source="the environment (ORDINAL_*)",
        base_url="",
        admin_key=settings.resolve_secret(settings.admin_key),
        redis_url=settings.url("redis") if settings.redis_url else "",
        mysql_url=settings.url("mysql") if settings.mysql_url else "",
        opensearch_url=settings.opensearch_url,
        queue_urls=settings.queue_urls,
        dead_queue_urls=settings.dead_queue_urls,
    )


def _from_stack(file: Path, stack: Stack) -> Places:
    return Places(
        source=str(file),
        base_url=stack.base_url,
        admin_key=stack.admin_key,
        redis_url=stack.redis.url,
        mysql_url=stack.mysql.url,
        opensearch_url=stack.opensearch.url,
        queue_urls={queue: _queue(stack, queue) for queue in QUEUES},
        dead_queue_urls={queue: _queue(stack, f"{queue}-dead") for queue in QUEUES},
        aws_url=stack.aws.url,
    )


def _read(file: Path) -> Stack:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Stack)
    except OSError as error:
        raise ChatctlError(f"{file} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ChatctlError(f"{file} is not a stack file: {error}") from None


def _queue(stack: Stack, short: str) -> str:
    """The URL of a queue whose name ends with the short one; empty where there is none."""
    fit_to_response = (
        url for name, url in stack.queues.items() if f"-{name}".endswith(f"-{short}")
    )
    return next(fit_to_response, "")
