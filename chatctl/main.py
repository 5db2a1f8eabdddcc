"""The commands of chatctl, and how their errors are shown."""

from typing import Any

import click
import ordinal_client

from chalicelib.domain.errors import OrdinalError
from chalicelib.operators.errors import OperatorError
from chatctl.commands.advance_counters import advance_counters_command
from chatctl.commands.export import export_command
from chatctl.commands.import_ import import_command
from chatctl.commands.lag import lag_command
from chatctl.commands.recount import recount_command
from chatctl.commands.redrive import redrive_command
from chatctl.commands.reindex import reindex_command
from chatctl.commands.verify import verify_command


class _Cli(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Show an expected error as one line; the exit code is 1."""
        try:
            return super().invoke(ctx)
        except (OperatorError, OrdinalError, ordinal_client.OrdinalError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Operate Ordinal: import and export chats, watch queues, check and repair stores."""


for command in (
    import_command,
    export_command,
    lag_command,
    redrive_command,
    recount_command,
    advance_counters_command,
    reindex_command,
    verify_command,
):
    cli.add_command(command)
