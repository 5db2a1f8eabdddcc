"""The list of chatctl's commands."""

from typing import Any

import click
from ordinal_client import OrdinalError

from chatctl.export_command import export_command
from chatctl.failures import ChatctlError
from chatctl.import_command import import_command
from chatctl.lag_command import lag_command
from chatctl.lift_command import lift_command
from chatctl.recount_command import recount_command
from chatctl.redrive_command import redrive_command
from chatctl.reindex_command import reindex_command
from chatctl.verify_command import verify_command


class _Cli(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Show an error of the client as the error of the command."""
        try:
            return super().invoke(ctx)
        except OrdinalError as error:
            raise ChatctlError(str(error)) from error


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Ordinal from the command line: bring chats in and out, look after queues and counts."""


cli.add_command(import_command)
cli.add_command(export_command)
cli.add_command(lag_command)
cli.add_command(redrive_command)
cli.add_command(recount_command)
cli.add_command(lift_command)
cli.add_command(reindex_command)
cli.add_command(verify_command)
