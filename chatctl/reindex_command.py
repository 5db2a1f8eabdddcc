"""`chatctl reindex`."""

import time
from collections.abc import Callable
from pathlib import Path

import click

from chalicelib.domain.errors import OrdinalError
from chatctl.failures import ChatctlError
from chatctl.places import find_places, stack_option

_LINE_EVERY_SECONDS = 5.0


@click.command("reindex")
@stack_option
def reindex_command(stack_file: Path | None) -> None:
    """Build the search index anew from MySQL, without down time.

    What was cut off goes on where it was when it is run again.
    """
    from chalicelib.operators.scan import MessageScanner
    from chatctl.reindex import Rebuild

    places = find_places(stack_file)
    scanner = MessageScanner(places.require("mysql_url"))
    rebuild = Rebuild(scanner, places.require("opensearch_url"), _say, _now_and_then())
    began_at = time.monotonic()
    try:
        rebuild.run()
    except OrdinalError as error:
        raise ChatctlError(f"{error}\nRun it again: it goes on where it was.") from error
    finally:
        scanner.close()
    click.echo(f"{rebuild.copied:,} messages indexed in {time.monotonic() - began_at:,.1f} s")
    for document, reason in rebuild.refused:
        where = f"{document.token} chat {document.chat} message {document.message.number}"
        click.echo(f"Error: {where} was refused: {reason}", err=True)
    if rebuild.refused:
        raise SystemExit(1)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _now_and_then() -> Callable[[int, int], None]:
    said_at = time.monotonic()

    def progress(copied: int, expected: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _LINE_EVERY_SECONDS:
            said_at = time.monotonic()
            _say(f"{copied:,} of about {expected:,} messages")

    return progress
