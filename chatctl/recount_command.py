"""`chatctl recount`."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chalicelib.domain.errors import OrdinalError
from chalicelib.usecases.maintenance import token_pages
from chatctl.failures import ChatctlError
from chatctl.places import find_places, stack_option

if TYPE_CHECKING:
    from chalicelib.adapters.mysql.store import MySqlStore


@click.command("recount")
@click.option("--application", metavar="TOKEN", help="Only this one.")
@click.option("--fix", is_flag=True, help="Set wrong counts right.")
@stack_option
def recount_command(application: str | None, fix: bool, stack_file: Path | None) -> None:
    """Compare the counts that MySQL keeps with the rows that they count."""
    from chalicelib.adapters.mysql.store import MySqlStore

    store = MySqlStore(find_places(stack_file).require("mysql_url"))
    try:
        applications, wrong = recount(store, application, fix)
    except OrdinalError as error:
        raise ChatctlError(str(error)) from error
    finally:
        store.close()
    click.echo(f"{applications:,} applications counted, {wrong:,} counts {_verdict(wrong, fix)}")
    if wrong and not fix:
        raise SystemExit(1)


def recount(store: "MySqlStore", only: str | None, fix: bool) -> tuple[int, int]:
    """Count, and print what differs. Returns how many applications there were, and wrong counts."""
    from chalicelib.operators.recount import Recount

    counts, applications, wrong = Recount(store.database), 0, 0
    pages = token_pages(store.applications.list_tokens) if only is None else [[only]]
    for token in chain.from_iterable(pages):
        applications += 1
        for chat, count, said, counted in counts.recount(token, fix):
            wrong += 1
            where = token if chat is None else f"{token} chat {chat}"
            click.echo(f"{where}: {count} says {said:,}, the rows say {counted:,}")
    return applications, wrong


def _verdict(wrong: int, fix: bool) -> str:
    return "wrong" if not wrong or not fix else "wrong and set right"
