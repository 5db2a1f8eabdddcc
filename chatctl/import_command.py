"""`chatctl import`."""

from collections import Counter
from pathlib import Path

import click

from chalicelib.adapters.clock import SystemClock
from chalicelib.domain.times import rfc3339
from chatctl.credentials import OpenApi, api_opener, own_application
from chatctl.gather import gather
from chatctl.patience import DEFAULT_SECONDS, Patience
from chatctl.places import find_places, stack_option
from chatctl.progress import Progress
from chatctl.remembered import STATE_FILE, Credential
from chatctl.run_import import run_import
from chatctl.sources import Contents


@click.command("import")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@click.option("--application", metavar="TOKEN", help="Import into this application.")
@click.option("--key", metavar="SECRET", envvar="ORDINAL_KEY", help="Its secret key.")
@click.option("--name", help="Make an application of this name, once. [default: the first PATH's]")
@click.option("--base-url", envvar="ORDINAL_BASE_URL", help="[default: the stack file's]")
@click.option("--format", "form", type=click.Choice(["irc", "ndjson"]), help="[default: by name]")
@click.option("--parallel", default=4, show_default=True, type=click.IntRange(1, 64))
@click.option("--skip-broken", is_flag=True, help="Leave out broken lines and count them.")
@click.option(
    "--patience", "patience_seconds", default=DEFAULT_SECONDS, show_default=True,
    help="Seconds without any progress after which it gives up.",
)  # fmt: skip
@click.option("--state-file", default=STATE_FILE, type=click.Path(path_type=Path), hidden=True)
@stack_option
def import_command(
    paths: tuple[Path, ...],
    application: str | None,
    key: str | None,
    name: str | None,
    base_url: str | None,
    form: str | None,
    parallel: int,
    skip_broken: bool,
    patience_seconds: float,
    state_file: Path,
    stack_file: Path | None,
) -> None:
    """Bring chats in: IRC logs (a chat a day) or NDJSON, through the HTTP API.

    It goes on where an earlier run ended, and never sends a message twice.
    """
    now = rfc3339(SystemClock().now_ms())
    contents = gather(paths, form, now, skip_broken)
    progress = Progress(len(contents.sources), sum(s.count for s in contents.sources))
    patience = Patience(patience_seconds, say=progress.say)
    url = (base_url or find_places(stack_file).need("base_url")).rstrip("/")
    open_api = api_opener(url, patience)
    if application and key and not name:
        credential = Credential(application, key)
    elif application or key:
        raise click.UsageError("give --application with --key and without --name, or neither")
    else:
        credential = _own(open_api, url, name or paths[0].resolve().name, state_file, stack_file)
    with open_api(credential.key) as api:
        try:
            failures = run_import(
                api, credential.token, contents.sources, parallel, patience, progress
            )
        finally:
            progress.close()
            _summarize(credential.token, contents, progress)
    for failure in [*contents.faults, *failures]:
        click.echo(f"Error: {failure}", err=True)
    if contents.faults or failures:
        raise SystemExit(1)
