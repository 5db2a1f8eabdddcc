"""`chatctl import`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from chalicelib.adapters.clock import SystemClock
from chalicelib.domain.times import rfc3339
from chatctl.credentials import OpenClient, client_opener, own_application
from chatctl.gather import gather
from chatctl.places import find_places, stack_option
from chatctl.progress import Progress
from chatctl.remembered import STATE_FILE, Credential
from chatctl.retry_budget import DEFAULT_SECONDS, RetryBudget
from chatctl.run_import import run_import
from chatctl.sources import Contents


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said."""

    paths: tuple[Path, ...]
    application: str | None
    key: str | None
    name: str | None
    base_url: str | None
    form: str | None
    parallel: int
    skip_broken: bool
    patience: float
    state_file: Path
    stack_file: Path | None


@click.command("import")
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH...",
)
@click.option("--application", metavar="TOKEN", help="Import into this application.")
@click.option(
    "--key", metavar="SECRET", envvar="ORDINAL_KEY", help="Its secret key. [or ORDINAL_KEY]"
)
@click.option("--name", help="Make an application of this name, once. [default: the first PATH's]")
@click.option("--base-url", metavar="URL", help="[default: the stack file's]")
@click.option("--format", "form", type=click.Choice(["irc", "ndjson"]), help="[default: by name]")
@click.option("--parallel", default=4, show_default=True, type=click.IntRange(1, 64), help="Chats.")
@click.option("--skip-broken", is_flag=True, help="Leave out broken lines, and count them.")
@click.option(
    "--patience", default=DEFAULT_SECONDS, show_default=True, help="Seconds without progress."
)
@click.option(
    "--state-file", default=STATE_FILE, type=click.Path(path_type=Path), show_default=True
)
@stack_option
def import_command(**given: Any) -> None:
    """Bring chats in: IRC logs (a chat a day) or NDJSON, through the HTTP API.

    It goes on where an earlier run ended, and never sends a message twice. Without --application it
    makes an application of its own and remembers it.
    """
    options = Options(**given)
    now = rfc3339(SystemClock().now_ms())
    contents = gather(options.paths, options.form, now, options.skip_broken)
    failures = contents.faults + _run(options, contents)
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    if failures:
        raise SystemExit(1)


def _run(options: Options, contents: Contents) -> list[str]:
    progress = Progress(len(contents.sources), sum(s.count for s in contents.sources))
    budget = RetryBudget(options.patience, log=progress.say)
    base_url = options.base_url or find_places(options.stack_file).require("base_url")
    open_client = client_opener(base_url.rstrip("/"), budget)
    credential = _credential(options, open_client, base_url.rstrip("/"))
    with open_client(credential) as client:
        try:
            return run_import(client, contents.sources, options.parallel, budget, progress)
        finally:
            progress.close()
            _summarize(credential.token, contents, progress)


def _credential(options: Options, open_client: OpenClient, base_url: str) -> Credential:
    if options.application and options.key and not options.name:
        return Credential(options.application, options.key)
    if options.application or options.key:
        raise click.UsageError("give --application with --key and without --name, or neither")
    name = options.name or options.paths[0].resolve().name
    credential, made = own_application(
        open_client,
        base_url,
        lambda: find_places(options.stack_file).require("admin_key"),
        name,
        options.state_file,
    )
    what = "made" if made else "found again"
    click.echo(
        f"application {credential.token} ({name}, {what}; its key is in {options.state_file})"
    )
    return credential


def _summarize(token: str, contents: Contents, progress: Progress) -> None:
    left_out = ", ".join(f"{n:,} {kind}" for kind, n in contents.left_out.most_common())
    lines = {
        "application": token,
        "chats": f"{progress.chats_done:,} of {len(contents.sources):,}",
        "messages sent": f"{progress.sent:,}",
        "already there": f"{progress.there:,}",
        "left out": left_out or "nothing",
        "seconds": f"{progress.seconds:,.1f}",
        "messages/s": f"{progress.rate:,.0f}",
    }
    for name, value in lines.items():
        click.echo(f"{name:<15}{value}")
