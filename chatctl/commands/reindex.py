"""`chatctl reindex`."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from chalicelib.domain.errors import OrdinalError
from chatctl.config import load_targets, stack_option
from chatctl.errors import ChatctlError

_LINE_EVERY_SECONDS = 5.0


@click.command("reindex")
@stack_option
def reindex_command(stack_file: Path | None) -> None:
    """Build a new search index from MySQL, without downtime.

    If it was interrupted, the same command continues it.
    """
    from chalicelib.operators.reindex import ReindexJob
    from chalicelib.operators.scan import MessageScanner

    targets = load_targets(stack_file)
    started_at = time.monotonic()
    with closing(MessageScanner(targets.require("mysql_url"))) as scanner:
        job = ReindexJob(scanner, targets.require("opensearch_url"), _log, _line_now_and_then())
        try:
            job.run()
        except OrdinalError as error:
            raise ChatctlError(f"{error}\nRun it again: it continues.") from error
    click.echo(f"{job.copied:,} messages indexed in {time.monotonic() - started_at:,.1f} s")
    for item in job.refused:
        document, reason = item.document, item.reason
        message = f"{document.token} chat {document.chat} message {document.message.number}"
        click.echo(f"Error: OpenSearch refused {message}: {reason}", err=True)
    if job.refused:
        raise SystemExit(1)


def _log(text: str) -> None:
    click.echo(text, err=True)


def _line_now_and_then() -> Callable[[int, int], None]:
    shown_at = time.monotonic()

    def progress(copied: int, total: int) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= _LINE_EVERY_SECONDS:
            shown_at = time.monotonic()
            _log(f"{copied:,} of about {total:,} messages")

    return progress
