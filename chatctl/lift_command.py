"""`chatctl lift`."""

import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.maintenance import token_pages
from chatctl.failures import ChatctlError
from chatctl.places import find_places, stack_option

if TYPE_CHECKING:
    from chalicelib.adapters.mysql.store import MySqlStore

# A begin walks what is passed over in a chat that comes back, while a request waits.
MOST = 100_000_000


@click.command("lift")
@click.option(
    "--by",
    type=click.IntRange(1, MOST),
    metavar="N",
    required=True,
    help="At least how many numbers, and changes, a single chat or application got since the backup.",
)
@stack_option
def lift_command(by: int, stack_file: Path | None) -> None:
    """After MySQL was restored from an older backup: let no number since then be given again."""
    from chalicelib.adapters.mysql.store import MySqlStore

    store = MySqlStore(find_places(stack_file).require("mysql_url"))
    try:
        applications, chats = advance(store, by)
    except OrdinalError as error:
        raise ChatctlError(f"{error}\nRun it again: a second lift only skips more.") from error
    finally:
        store.close()
    click.echo(f"{applications:,} applications and {chats:,} chats go on {by:,} numbers higher")


def advance(store: "MySqlStore", by: int) -> tuple[int, int]:
    """All applications. Returns how many there were, and how many chats."""
    from chalicelib.operators.advance_counters import AdvanceCounters

    counters, applications, chats = AdvanceCounters(store.database), 0, 0
    for token in chain.from_iterable(token_pages(store.applications.list_tokens)):
        chats += counters.advance(token, by, rfc3339(int(time.time() * 1000)))
        applications += 1
    return applications, chats
