"""`chatctl export`."""

from pathlib import Path

import click
import msgspec
from ordinal_client import Client

from chatctl.credentials import client_opener
from chatctl.export import Mark, export_chats, read_mark
from chatctl.failures import ChatctlError
from chatctl.places import find_places, stack_option
from chatctl.remembered import Credential
from chatctl.retry_budget import RetryBudget


@click.command("export")
@click.option("--application", metavar="TOKEN", required=True)
@click.option(
    "--key",
    metavar="SECRET",
    envvar="ORDINAL_KEY",
    required=True,
    help="Its secret key. [or ORDINAL_KEY]",
)
@click.option("--chat", type=click.IntRange(1), metavar="N", help="Only this chat.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--resume", is_flag=True, help="Go on with a FILE that was not finished.")
@click.option("--base-url", metavar="URL", help="[default: the stack file's]")
@stack_option
def export_command(
    application: str,
    key: str,
    chat: int | None,
    output: Path | None,
    resume: bool,
    base_url: str | None,
    stack_file: Path | None,
) -> None:
    """Write all messages as NDJSON, oldest first. `chatctl import` reads it back."""
    if resume and output is None:
        raise click.UsageError("--resume goes on with a file: give -o FILE")
    if output and output.exists() and not resume:
        raise click.UsageError(
            f"{output} is there already: go on with it by --resume, or remove it"
        )
    url = (base_url or find_places(stack_file).require("base_url")).rstrip("/")
    open_client = client_opener(url, RetryBudget(log=lambda text: click.echo(text, err=True)))
    with open_client(Credential(application, key)) as client:
        _export(client, chat, output)


def _export(client: Client, chat: int | None, output: Path | None) -> None:
    idempotency = read_mark(output) if output else Mark()
    if chat is not None and idempotency.chat not in (0, chat):
        raise ChatctlError(f"{output} ends in chat {idempotency.chat}, not in chat {chat}")
    encoder = msgspec.json.Encoder()
    count = 0
    with output.open("ab") if output else click.open_file("-", "wb") as out:
        for entry in export_chats(client, chat, idempotency):
            out.write(encoder.encode(entry) + b"\n")
            count += 1
    click.echo(f"{count:,} messages written", err=True)
