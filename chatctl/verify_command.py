"""`chatctl verify`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import redis
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import OrdinalError
from chatctl.failures import ChatctlError
from chatctl.pending import connect
from chatctl.places import Places, find_places, stack_option
from chatctl.queue_pairs import depth, queue_pairs

if TYPE_CHECKING:
    from chatctl.verify import Report


@click.command("verify")
@click.option("--application", metavar="TOKEN", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@stack_option
def verify_command(application: str | None, as_json: bool, stack_file: Path | None) -> None:
    """Compare MySQL, Redis and OpenSearch: do they hold the same?"""
    try:
        report = _verify(find_places(stack_file), application)
    except (OrdinalError, redis.RedisError, BotoCoreError, ClientError) as error:
        raise ChatctlError(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _show(report)
    if report.differs:
        raise SystemExit(1)


def _verify(places: Places, application: str | None) -> "Report":
    from chalicelib.adapters.mysql.database import Database
    from chalicelib.adapters.mysql.store import MySqlStore
    from chalicelib.operators.counter_limits import Allowances
    from chalicelib.operators.index_reader import IndexReader
    from chalicelib.operators.scan import MessageScanner
    from chatctl.verify import verify
    from chatctl.verify_index import IndexCheck

    url, sqs = places.require("mysql_url"), places.sqs()
    pairs = queue_pairs(places)
    contents = IndexReader(places.require("opensearch_url"))
    with (
        closing(MessageScanner(url)) as scanner,
        closing(MySqlStore(url)) as store,
        closing(Database(url)) as database,
        connect(places.require("redis_url")) as client,
    ):
        check = IndexCheck(
            scanner, contents, lambda: sum(depth(sqs, pair.url).total for pair in pairs)
        )
        return verify(store, Allowances(database), client, check, application)


def _show(report: "Report") -> None:
    numbers = msgspec.structs.asdict(report)
    under_way, examples = numbers.pop("under_way"), numbers.pop("examples")
    for name, number in numbers.items():
        click.echo(f"{_in_words(name):<28}{number:>12,}")
    for name, number in under_way.items():
        click.echo(f"{_in_words(name):<28}{number:>12,}   under way")
    for example in examples:
        click.echo(f"  {example}")
    click.echo("something differs" if report.differs else "nothing differs")


def _in_words(name: str) -> str:
    return name.replace("_", " ")
