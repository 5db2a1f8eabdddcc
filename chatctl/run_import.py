"""Filling many chats at once: several in parallel, each strictly in order."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from chatctl.api import Api
from chatctl.failures import (
    ChatctlError,
    MismatchError,
    RefusedError,
    StoppedError,
)
from chatctl.fill import create, fill
from chatctl.patience import Patience
from chatctl.progress import Progress
from chatctl.sources import Source


def run_import(
    api: Api,
    sources: Sequence[Source],
    parallel: int,
    patience: Patience,
    progress: Progress,
) -> list[str]:
    """Fill all chats. Returns what failed: one chat's failure does not hold up others, an outage does."""
    numbers = _numbers_by_title(api)
    with ThreadPoolExecutor(parallel) as pool:
        # A chat takes one lease of messages before its row is there: made first, it has its row by then.
        chats = [pool.submit(_chat, api, s, numbers[s.title]) for s in sources]
        futures = [
            pool.submit(_fill_one, api, source, chat, progress)
            for source, chat in zip(sources, chats, strict=True)
        ]
        try:
            return _failures(futures, patience)
        except BaseException:
            patience.stop()
            raise


def _chat(api: Api, source: Source, numbers: list[int]) -> int:
    """The number of the source's chat, which is made where there is none yet."""
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        raise MismatchError(f"{source.name}: chats {listed} all have the title {source.title!r}")
    return numbers[0] if numbers else create(api, source)


def _fill_one(api: Api, source: Source, chat: Future[int], progress: Progress) -> None:
    """Fill one chat. The pool works in order, so `chat` is being made by now, or is made."""
    try:
        fill(api, source, chat.result(), progress.add_there, progress.add_sent)
    except RefusedError as error:
        if error.concerns_all:
            raise
        raise ChatctlError(f"{source.name}: {error.message}") from error
    progress.add_chat()


def _failures(futures: Sequence[Future[None]], patience: Patience) -> list[str]:
    failures: list[str] = []
    unfinished = 0
    for future in as_completed(futures):
        try:
            future.result()
        except StoppedError:
            unfinished += 1
        except ChatctlError as error:
            failures.append(error.message)
            if isinstance(error, RefusedError):
                patience.stop()
    if unfinished:
        failures.append(f"{unfinished} more chats were not finished")
    return failures


def _numbers_by_title(api: Api) -> defaultdict[str, list[int]]:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for chat in api.list_chats():
        if chat.title is not None:
            numbers[chat.title].append(chat.number)
    return numbers
