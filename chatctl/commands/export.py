"""`chatctl export`: all messages of an application, oldest first. It can continue an unfinished file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from ordinal_client import Chat, Client

from chalicelib.domain.limits import MAX_PAGE_ITEMS
from chatctl.api import RetryBudget, client_opener
from chatctl.config import Credential, load_targets, stack_option
from chatctl.errors import ChatctlError
from chatctl.sources.ndjson import NdjsonLine, line_of

_TITLE_CHARS = 200
_BLOCK_BYTES = 1_000_000  # no line is longer


class ExportCursor(msgspec.Struct, frozen=True):
    """The last message that a file holds. The default is before all messages."""

    chat: int = 0
    number: int = 0


@click.command("export")
@click.option("--application", metavar="TOKEN", required=True, help="Export this application.")
@click.option(
    "--key",
    metavar="SECRET",
    envvar="ORDINAL_KEY",
    required=True,
    help="Its secret key. [or ORDINAL_KEY]",
)
@click.option("--chat", type=click.IntRange(1), metavar="N", help="Export only this chat.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a new file. [default: standard output]",
)
@click.option("--resume", is_flag=True, help="Continue a FILE that was not finished.")
@click.option("--base-url", metavar="URL", help="URL of the API. [default: from the stack file]")
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
    """Write all messages as NDJSON, oldest first. `chatctl import` can read it."""
    if resume and output is None:
        raise click.UsageError("--resume continues a file: add -o FILE")
    if output and output.exists() and not resume:
        raise click.UsageError(f"{output} exists: continue it with --resume, or remove it")
    url = (base_url or load_targets(stack_file).require("base_url")).rstrip("/")
    open_client = client_opener(url, RetryBudget(log=lambda text: click.echo(text, err=True)))
    with open_client(Credential(application, key)) as client:
        _export(client, chat, output)


def _export(client: Client, chat: int | None, output: Path | None) -> None:
    cursor = read_cursor(output) if output else ExportCursor()
    if chat is not None and cursor.chat not in (0, chat):
        raise ChatctlError(f"{output} ends in chat {cursor.chat}, not in chat {chat}")
    encoder = msgspec.json.Encoder()
    count = 0
    with output.open("ab") if output else click.open_file("-", "wb") as out:
        for line in export_chats(client, chat, cursor):
            out.write(encoder.encode(line) + b"\n")
            count += 1
    click.echo(f"{count:,} messages written", err=True)


def export_chats(client: Client, only: int | None, cursor: ExportCursor) -> Iterator[NdjsonLine]:
    """The messages after the cursor: chats by number, messages by number."""
    chats = list(client.chats(after=0, limit=MAX_PAGE_ITEMS))
    names = chat_names(chats)
    if only is not None:
        client.get_chat(only)  # raises the service's error if the chat does not exist
    for chat in chats:
        if chat.number < cursor.chat or only not in (None, chat.number):
            continue
        after = cursor.number if chat.number == cursor.chat else 0
        first = after == 0
        for message in client.messages(chat.number, after=after, limit=MAX_PAGE_ITEMS):
            yield line_of(chat, names[chat.number], message, with_chat_metadata=first)
            first = False


def chat_names(chats: Sequence[Chat]) -> dict[int, str]:
    """The name of each chat in the file: its title, or its number if it has none. No two are equal."""
    titles = {chat.number: chat.title or str(chat.number) for chat in chats}
    uses = Counter(titles.values())
    return {
        number: title if uses[title] == 1 else f"{title[:_TITLE_CHARS]} #{number}"
        for number, title in titles.items()
    }


def read_cursor(file: Path) -> ExportCursor:
    """The message of the last whole line. Removes the incomplete line that a killed run left."""
    if not file.exists():
        return ExportCursor()
    with file.open("r+b") as opened:
        size = opened.seek(0, 2)
        start = max(0, size - _BLOCK_BYTES)
        opened.seek(start)
        whole_lines, newline, _ = opened.read().rpartition(b"\n")
        opened.truncate(start + len(whole_lines) + len(newline))
    if not whole_lines:
        return ExportCursor()
    try:
        line = msgspec.json.decode(whole_lines.rpartition(b"\n")[2], type=NdjsonLine)
    except msgspec.DecodeError as error:
        raise ChatctlError(f"the last line of {file} is not a line of an export: {error}") from None
    if line.chat_number is None or line.number is None:
        raise ChatctlError(f"export did not write {file}: its last line has no numbers")
    return ExportCursor(line.chat_number, line.number)
