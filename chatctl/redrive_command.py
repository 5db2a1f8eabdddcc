"""`chatctl redrive`."""

from pathlib import Path

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.settings import QUEUES
from chatctl.failures import ChatctlError
from chatctl.peek import peek
from chatctl.places import find_places, stack_option
from chatctl.queue_pairs import depth, queue_pairs
from chatctl.redrive import redrive


@click.command("redrive")
@click.argument("queue", type=click.Choice([*QUEUES, "all"]))
@click.option("--peek", "peeking", is_flag=True, help="Show dead letters; move nothing.")
@click.option("--most", default=20, show_default=True, type=click.IntRange(1), help="To show.")
@stack_option
def redrive_command(queue: str, peeking: bool, most: int, stack_file: Path | None) -> None:
    """Move the dead letters of QUEUE (or of all queues) back to where they came from."""
    places = find_places(stack_file)
    client = places.sqs()
    try:
        for pair in queue_pairs(places, None if queue == "all" else queue):
            dead = depth(client, pair.dead_url).visible
            if peeking:
                lines = peek(client, pair, most)
                click.echo("\n".join([f"{pair.name}: {dead:,} dead letters", *lines]))
            elif not dead:
                click.echo(f"{pair.name}: no dead letters")
            else:
                moved = redrive(client, pair, lambda text: click.echo(text, err=True))
                click.echo(f"{pair.name}: {moved:,} moved")
    except (BotoCoreError, ClientError) as error:
        raise ChatctlError(f"SQS: {error}") from error
