"""`chatctl recount`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatctl.config import load_targets, stack_option

if TYPE_CHECKING:
    from chalicelib.domain.models import AppToken
    from chalicelib.operators.recount import CountMismatch


@click.command("recount")
@click.option("--application", metavar="TOKEN", help="Count only this application.")
@click.option("--fix", is_flag=True, help="Correct wrong counts.")
@stack_option
def recount_command(application: "AppToken | None", fix: bool, stack_file: Path | None) -> None:
    """Compare the counts that MySQL stores with the rows that they count."""
    from chalicelib.adapters.mysql.store import MySqlStore
    from chalicelib.operators.recount import recount

    with closing(MySqlStore(load_targets(stack_file).require("mysql_url"))) as store:
        result = recount(store, application, fix, _show)
    verdict = "wrong and corrected" if result.wrong and fix else "wrong"
    click.echo(f"{result.applications:,} applications counted, {result.wrong:,} counts {verdict}")
    if result.wrong and not fix:
        raise SystemExit(1)


def _show(token: "AppToken", mismatch: "CountMismatch") -> None:
    click.echo(mismatch.text(token))
