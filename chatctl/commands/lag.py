"""`chatctl lag`."""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from chalicelib.adapters.runtime import SystemClock
from chatctl.config import Targets, load_targets, stack_option

if TYPE_CHECKING:
    from chalicelib.operators.lag import Lag, PendingLag, QueueLag


@click.command("lag")
@click.option("--watch", is_flag=True, help="Measure repeatedly, until Ctrl-C.")
@click.option(
    "--every",
    metavar="SECONDS",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Pause between measurements.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each measurement.")
@stack_option
def lag_command(watch: bool, every: float, as_json: bool, stack_file: Path | None) -> None:
    """Show how far the workers are behind: queues, dead letters, pending versions."""
    targets = load_targets(stack_file)
    lag = _measure(targets)
    _show(lag, as_json)
    while watch:
        time.sleep(every)
        lag = _measure(targets)
        _show(lag, as_json)
    if lag.failures:
        raise SystemExit(1)


def _measure(targets: Targets) -> "Lag":
    from chalicelib.operators.lag import measure_lag

    now_ms = SystemClock().now_ms()
    return measure_lag(now_ms, lambda: _queues(targets), lambda: _pending(targets, now_ms))


def _queues(targets: Targets) -> "dict[str, QueueLag]":
    from chalicelib.operators.lag import queue_lags

    return queue_lags(targets.sqs(), targets.queues())


def _pending(targets: Targets, now_ms: int) -> "PendingLag":
    from chalicelib.adapters.mysql.store import MySqlStore
    from chalicelib.operators.lag import pending_lag
    from chalicelib.operators.pending import connect

    with (
        closing(MySqlStore(targets.require("mysql_url"))) as store,
        connect(targets.require("redis_url")) as client,
    ):
        return pending_lag(client, store.applications.list_tokens, now_ms)


def _show(lag: "Lag", as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(lag))
        return
    click.echo(f"{lag.at}\n{'queue':<10}{'visible':>9}{'in flight':>11}{'delayed':>9}{'dead':>9}")
    for name, queue in (lag.queues or {}).items():
        row = f"{queue.visible:>9,}{queue.in_flight:>11,}{queue.delayed:>9,}{queue.dead:>9,}"
        click.echo(f"{name:<10}{row}")
    if lag.pending:
        oldest = lag.pending.oldest_seconds
        age = "" if oldest is None else f", the oldest {oldest:,.1f} s old"
        applications = f"of {lag.pending.applications:,} applications"
        click.echo(f"pending   {lag.pending.entries:,} versions {applications}{age}")
    for failure in lag.failures:
        click.echo(f"Error: {failure}", err=True)
