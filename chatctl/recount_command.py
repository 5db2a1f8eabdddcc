"""`chatctl recount`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chalicelib.domain.errors import OrdinalError
from chatctl.failures import ChatctlError
from chatctl.places import find_places, stack_option

if TYPE_CHECKING:
    from chalicelib.adapters.mysql.store import MySqlStore

_TOKENS_AT_ONCE = 500


@click.command("recount")
@click.option("--application", metavar="TOKEN", help="Only this one.")
@click.option("--fix", is_flag=True, help="Set wrong counts right.")
@stack_option
def recount_command(application: str | None, fix: bool, stack_file: Path | None) -> None:
    """Compare the counts that MySQL keeps with the rows that they count."""
    from chalicelib.adapters.mysql.store import MySqlStore

    store = MySqlStore(find_places(stack_file).need("mysql_url"))
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
    applications = wrong = 0
    for token in _tokens(store) if only is None else [only]:
        applications += 1
        for chat, count, said, counted in store.recount(token, fix):
            wrong += 1
            where = token if chat is None else f"{token} chat {chat}"
            click.echo(f"{where}: {count} says {said:,}, the rows say {counted:,}")
    return applications, wrong


def _tokens(store: "MySqlStore") -> Iterator[str]:
    after: str | None = None
    while tokens := store.list_tokens(after, _TOKENS_AT_ONCE):
        yield from tokens
        after = tokens[-1]


def _verdict(wrong: int, fix: bool) -> str:
    return "wrong" if not wrong or not fix else "wrong and set right"
