"""`chatctl redrive`."""

from pathlib import Path

import click

from chalicelib.operators.queues import depth
from chalicelib.operators.redrive import peek, redrive
from chalicelib.settings import QUEUES
from chatctl.config import load_targets, stack_option


@click.command("redrive")
@click.argument("queue", type=click.Choice([*QUEUES, "all"]))
@click.option("--peek", "peeks", is_flag=True, help="Show dead letters, move nothing.")
@click.option(
    "--most",
    metavar="N",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Show at most so many of each queue.",
)
@stack_option
def redrive_command(queue: str, peeks: bool, most: int, stack_file: Path | None) -> None:
    """Move the dead letters of QUEUE (or of all queues) back to their queue."""
    targets = load_targets(stack_file)
    sqs = targets.sqs()
    for pair in targets.queues(None if queue == "all" else queue):
        count = depth(sqs, pair.dlq_url).visible
        if peeks:
            click.echo("\n".join([f"{pair.name}: {count:,} dead letters", *peek(sqs, pair, most)]))
        elif not count:
            click.echo(f"{pair.name}: no dead letters")
        else:
            moved = redrive(sqs, pair, lambda text: click.echo(text, err=True))
            click.echo(f"{pair.name}: {moved:,} moved")
