"""`chatctl import`: fill many chats at once, several in parallel, each strictly in order."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click
import msgspec
from ordinal_client import (
    Client,
    ForbiddenError,
    NotFoundError,
    OrdinalError,
    ProblemError,
    UnauthenticatedError,
)

from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.limits import MAX_PAGE_ITEMS
from chalicelib.domain.times import rfc3339
from chatctl.api import DEFAULT_SECONDS, OpenClient, RetryBudget, client_opener
from chatctl.config import (
    STATE_FILE,
    Credential,
    load_credentials,
    load_targets,
    save_credential,
    stack_option,
)
from chatctl.errors import ChatctlError, MismatchError, StoppedError
from chatctl.progress import Progress
from chatctl.sources.base import Source, SourceSet
from chatctl.sources.files import find_sources
from chatctl.sync_chat import create_chat, sync_chat

# Every request with the same credential fails with these.
_CREDENTIAL_ERRORS = (UnauthenticatedError, ForbiddenError)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command line."""

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
@click.option(
    "--name", help="Create an application with this name, once. [default: name of the first PATH]"
)
@click.option("--base-url", metavar="URL", help="URL of the API. [default: from the stack file]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["irc", "ndjson"]),
    help="Read files of this format only. [default: by name]",
)
@click.option(
    "--parallel",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Chats to fill at the same time.",
)
@click.option("--skip-broken", is_flag=True, help="Skip lines that cannot be imported, count them.")
@click.option(
    "--patience",
    metavar="SECONDS",
    default=DEFAULT_SECONDS,
    show_default=True,
    help="End after so long without a successful request.",
)
@click.option(
    "--state-file",
    default=STATE_FILE,
    type=click.Path(path_type=Path),
    show_default=True,
    help="Stores token and key of the application.",
)
@stack_option
def import_command(**options: Any) -> None:
    """Import IRC logs (one chat for each day) or NDJSON, through the HTTP API.

    A second run continues where an earlier one ended, and sends no message twice. Without --application,
    chatctl creates an application and stores its key in the state file.
    """
    _import(Options(**options))


def _import(options: Options) -> None:
    now = rfc3339(SystemClock().now_ms())
    sources = find_sources(options.paths, options.form, now, options.skip_broken)
    failures = sources.errors + _run(options, sources)
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    if failures:
        raise SystemExit(1)


def _run(options: Options, sources: SourceSet) -> list[str]:
    progress = Progress(len(sources.sources), sum(s.count for s in sources.sources))
    budget = RetryBudget(options.patience, log=progress.log)
    base_url = options.base_url or load_targets(options.stack_file).require("base_url")
    open_client = client_opener(base_url.rstrip("/"), budget)
    credential = _credential(options, open_client, base_url.rstrip("/"))
    with open_client(credential) as client:
        try:
            return fill_chats(client, sources.sources, options.parallel, budget, progress)
        finally:
            progress.close()
            _print_summary(credential.token, sources, progress)


def _print_summary(token: str, sources: SourceSet, progress: Progress) -> None:
    skipped = ", ".join(f"{n:,} {kind}" for kind, n in sources.skipped.most_common())
    lines = {
        "application": token,
        "chats": f"{progress.chats_done:,} of {len(sources.sources):,}",
        "messages sent": f"{progress.sent:,}",
        "already there": f"{progress.already_present:,}",
        "skipped": skipped or "nothing",
        "seconds": f"{progress.seconds:,.1f}",
        "messages/s": f"{progress.rate:,.0f}",
    }
    for name, value in lines.items():
        click.echo(f"{name:<15}{value}")


# --- the application


def _credential(options: Options, open_client: OpenClient, base_url: str) -> Credential:
    if options.application and options.key and not options.name:
        return Credential(options.application, options.key)
    if options.application or options.key:
        raise click.UsageError("--application needs --key, and neither of them goes with --name")
    name = options.name or options.paths[0].resolve().name
    credential, created = own_application(
        open_client,
        base_url,
        lambda: load_targets(options.stack_file).require("admin_key"),
        name,
        options.state_file,
    )
    how = "created" if created else "found again"
    click.echo(
        f"application {credential.token} ({name}, {how}; its key is in {options.state_file})"
    )
    return credential


def own_application(
    open_client: OpenClient, base_url: str, admin_key: Callable[[], str], name: str, file: Path
) -> tuple[Credential, bool]:
    """The application of this name in the state file, or a new one; and whether it is new."""
    for credential in load_credentials(file, base_url, name):
        if _exists(open_client, credential):
            save_credential(file, base_url, name, credential)
            return credential, False
    with open_client(Credential("", admin_key())) as client:
        application = client.create_application(name)
    credential = Credential(application.token, application.secret_key)
    save_credential(file, base_url, name, credential)
    return credential, True


def _exists(open_client: OpenClient, credential: Credential) -> bool:
    """False if the service does not know the application: it was deleted, or the data is new."""
    with open_client(credential) as client:
        try:
            client.get_application()
        except (UnauthenticatedError, NotFoundError):
            return False
    return True


# --- its chats


def fill_chats(
    client: Client,
    sources: Sequence[Source],
    parallel: int,
    budget: RetryBudget,
    progress: Progress,
) -> list[str]:
    """Fill all chats. Returns the failures. One chat's failure does not stop others, an outage does."""
    numbers = _numbers_by_title(client)
    with ThreadPoolExecutor(parallel) as pool:
        # All chats are created first. So the row of a chat is stored before its messages arrive, and its
        # writers need not wait for it.
        chats = [pool.submit(_chat, client, s, numbers[s.title]) for s in sources]
        futures = [
            pool.submit(_fill_chat, client, source, chat, progress)
            for source, chat in zip(sources, chats, strict=True)
        ]
        try:
            return _failures(futures, budget)
        except BaseException:
            budget.stop()
            raise


def _chat(client: Client, source: Source, numbers: list[int]) -> int:
    """The number of the source's chat, which is created if there is none."""
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        raise MismatchError(f"{source.name}: chats {listed} all have the title {source.title!r}")
    return numbers[0] if numbers else create_chat(client, source)


def _fill_chat(client: Client, source: Source, chat: Future[int], progress: Progress) -> None:
    """Fill one chat. The pool works in order, so a thread creates `chat` now, or has created it."""
    try:
        sync_chat(client, source, chat.result(), progress.add_already_present, progress.add_sent)
    except _CREDENTIAL_ERRORS:
        raise
    except ProblemError as error:
        raise ChatctlError(f"{source.name}: {error}") from error
    progress.add_chat()


def _failures(futures: Sequence[Future[None]], budget: RetryBudget) -> list[str]:
    failures: list[str] = []
    unfinished = 0
    for future in as_completed(futures):
        try:
            future.result()
        except StoppedError:
            unfinished += 1
        except _CREDENTIAL_ERRORS as error:
            failures.append(str(error))
            budget.stop()
        except (ChatctlError, OrdinalError) as error:
            failures.append(str(error))
    if unfinished:
        failures.append(f"{unfinished} more chats were not finished")
    return failures


def _numbers_by_title(client: Client) -> defaultdict[str, list[int]]:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for chat in client.chats(after=0, limit=MAX_PAGE_ITEMS):
        if chat.title is not None:
            numbers[chat.title].append(chat.number)
    return numbers
