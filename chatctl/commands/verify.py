"""`chatctl verify`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from chalicelib.operators.queues import depth
from chatctl.config import Targets, load_targets, stack_option

if TYPE_CHECKING:
    from chalicelib.domain.models import AppToken
    from chalicelib.operators.verify import Report


@click.command("verify")
@click.option("--application", metavar="TOKEN", help="Compare only this application.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@stack_option
def verify_command(application: "AppToken | None", as_json: bool, stack_file: Path | None) -> None:
    """Compare MySQL, Redis and OpenSearch: do they hold the same?"""
    report = _verify(load_targets(stack_file), application)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _show(report)
    if report.differs:
        raise SystemExit(1)


def _verify(targets: Targets, application: "AppToken | None") -> "Report":
    from chalicelib.adapters.mysql.store import MySqlStore
    from chalicelib.operators.index_reader import IndexReader
    from chalicelib.operators.pending import connect
    from chalicelib.operators.scan import MessageScanner
    from chalicelib.operators.verify import verify
    from chalicelib.operators.verify_index import IndexCheck

    url, sqs, queues = targets.require("mysql_url"), targets.sqs(), targets.queues()
    reader = IndexReader(targets.require("opensearch_url"))
    with (
        closing(MessageScanner(url)) as scanner,
        closing(MySqlStore(url)) as store,
        connect(targets.require("redis_url")) as client,
    ):
        check = IndexCheck(scanner, reader, lambda: sum(depth(sqs, q.url).total for q in queues))
        return verify(store, client, check, application)


def _show(report: "Report") -> None:
    numbers = msgspec.structs.asdict(report)
    temporary, examples = numbers.pop("temporary"), numbers.pop("examples")
    for name, number in numbers.items():
        click.echo(f"{_in_words(name):<28}{number:>12,}")
    for name, number in temporary.items():
        click.echo(f"{_in_words(name):<28}{number:>12,}   temporary")
    for example in examples:
        click.echo(f"  {example}")
    click.echo("the stores differ" if report.differs else "no permanent difference")


def _in_words(name: str) -> str:
    return name.replace("_", " ")
