"""`chatctl advance-counters`."""

from contextlib import closing
from pathlib import Path

import click

from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.times import rfc3339
from chalicelib.operators.advance_counters import MAX_BY, advance_counters
from chatctl.config import load_targets, stack_option
from chatctl.errors import ChatctlError


@click.command("advance-counters")
@click.option(
    "--by",
    type=click.IntRange(1, MAX_BY),
    metavar="N",
    required=True,
    help="At least how many numbers, and changes, one chat or application got since the backup.",
)
@stack_option
def advance_counters_command(by: int, stack_file: Path | None) -> None:
    """After a restore of MySQL from an older backup: issue no number again."""
    from chalicelib.adapters.mysql.store import MySqlStore

    now = rfc3339(SystemClock().now_ms())
    with closing(MySqlStore(load_targets(stack_file).require("mysql_url"))) as store:
        try:
            result = advance_counters(store, by, now)
        except OrdinalError as error:
            raise ChatctlError(f"{error}\nRun it again: a second run only skips more.") from error
    click.echo(
        f"{result.applications:,} applications and {result.chats:,} chats"
        f" continue {by:,} numbers higher"
    )
