"""Filling many chats at once: several in parallel, each strictly in order."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from ordinal_client import (
    Client,
    ForbiddenError,
    OrdinalError,
    ProblemError,
    UnauthenticatedError,
)

from chalicelib.domain.limits import MAX_PAGE_ITEMS
from chatctl.failures import ChatctlError, MismatchError, StoppedError
from chatctl.fill import create, fill
from chatctl.progress import Progress
from chatctl.retry_budget import RetryBudget
from chatctl.sources import Source

# Every request with the same credential fails with these.
_CREDENTIAL_ERRORS = (UnauthenticatedError, ForbiddenError)


def run_import(
    client: Client,
    sources: Sequence[Source],
    parallel: int,
    budget: RetryBudget,
    progress: Progress,
) -> list[str]:
    """Fill all chats. Returns what failed: one chat's failure does not hold up others, an outage does."""
    numbers = _numbers_by_title(client)
    with ThreadPoolExecutor(parallel) as pool:
        # A chat takes one lease of messages before its row is there: made first, it has its row by then.
        chats = [pool.submit(_chat, client, s, numbers[s.title]) for s in sources]
        futures = [
            pool.submit(_fill_one, client, source, chat, progress)
            for source, chat in zip(sources, chats, strict=True)
        ]
        try:
            return _failures(futures, budget)
        except BaseException:
            budget.stop()
            raise


def _chat(client: Client, source: Source, numbers: list[int]) -> int:
    """The number of the source's chat, which is made where there is none yet."""
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        raise MismatchError(f"{source.name}: chats {listed} all have the title {source.title!r}")
    return numbers[0] if numbers else create(client, source)


def _fill_one(client: Client, source: Source, chat: Future[int], progress: Progress) -> None:
    """Fill one chat. The pool works in order, so `chat` is being made by now, or is made."""
    try:
        fill(client, source, chat.result(), progress.add_there, progress.add_sent)
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
