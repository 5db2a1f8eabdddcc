"""`chatctl lag`."""

import time
from pathlib import Path

import click
import msgspec

from chatctl.lag import Lag, measure
from chatctl.places import find_places, stack_option


@click.command("lag")
@click.option("--watch", is_flag=True, help="Measure again and again, until Ctrl-C.")
@click.option(
    "--every", default=2.0, show_default=True, type=click.FloatRange(0.1), help="Seconds."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a measurement.")
@stack_option
def lag_command(watch: bool, every: float, as_json: bool, stack_file: Path | None) -> None:
    """Show how far the workers are behind: queues, dead letters, pending entries."""
    places = find_places(stack_file)
    lag = measure(places)
    _show(lag, as_json)
    while watch:
        time.sleep(every)
        lag = measure(places)
        _show(lag, as_json)
    if lag.failures:
        raise SystemExit(1)


def _show(lag: Lag, as_json: bool) -> None:
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
        of = f"of {lag.pending.applications:,} applications"
        click.echo(f"pending   {lag.pending.entries:,} entries {of}{age}")
    for failure in lag.failures:
        click.echo(f"Error: {failure}", err=True)
