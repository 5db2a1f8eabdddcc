"""Rules about what clients were told, whatever is stored."""

from collections import defaultdict
from collections.abc import Iterator

from tests.promises.history import TWO_PRIMARIES, Act, History, Read
from tests.promises.stored import Stored

_Place = tuple[str, int | None, int]


def creates(history: History) -> Iterator[tuple[Act, int, int, str]]:
    """Each thing that an acknowledged request created: its number, position in the request, and text."""
    for act in history.acts:
        if act.kind in ("chat", "post") and act.outcome == "acknowledged":
            assert act.first is not None
            for i, text in enumerate(act.texts):
                yield act, act.first + i, i, text


def numbers_given_twice(history: History, stored: Stored) -> Iterator[str]:
    """A number belongs to one operation."""
    given: dict[_Place, Act] = {}
    for act, number, _, _ in creates(history):
        before = given.setdefault((act.token, act.chat, number), act)
        if before.operation != act.operation:
            yield f"{number} was given to {before} and to {act}"


def revisions_given_twice(history: History, stored: Stored) -> Iterator[str]:
    """A revision of a chat's messages, or of an application's chats, is one state."""
    given: dict[_Place, tuple[object, Act]] = {}
    for act in history.acts:
        if act.outcome != "acknowledged" or act.revision is None:
            continue
        chat = None if act.kind in ("edit_chat", "delete_chat") else act.chat
        for i in range(len(act.texts) or 1):
            place = (act.token, chat, act.revision + i)
            operation, before = given.setdefault(place, (act.operation, act))
            if operation != act.operation:
                yield f"revision {act.revision + i} was given to {before} and to {act}"


def retries_answered_otherwise(history: History, stored: Stored) -> Iterator[str]:
    """The tries of one operation are answered alike, unless memory was lost between them."""
    tries: dict[object, list[Act]] = defaultdict(list)
    for act in history.acts:
        if act.key is not None and act.outcome == "acknowledged":
            tries[act.operation].append(act)
    for acts in tries.values():
        began = min(act.began for act in acts)
        if history.lost_between(began, max(act.ended or 0 for act in acts)):
            continue
        for act in acts[1:]:
            answer, other = (_answer(acts[0]), _answer(act))
            if answer != other:
                yield f"{act} was answered {other} after {answer}"


def _answer(act: Act) -> tuple[int | None, int | None, int | None]:
    return act.first, act.last, act.revision


def accepted_under_a_replaced_key(history: History, stored: Stored) -> Iterator[str]:
    """A key that was replaced is refused from then on, unless it was replaced while there were two
    primaries: the one that was not told may still believe it."""
    splits = [loss for loss in history.losses if loss.what == TWO_PRIMARIES]
    for act in history.acts:
        if act.outcome != "acknowledged":
            continue
        for span in act.replaced:
            if not any(split.touches(span.began, span.ended) for split in splits):
                yield f"{act} was accepted, and its key was replaced before it was sent"


def backward_reads(history: History, stored: Stored) -> Iterator[str]:
    """Who wrote or read a state reads that one or a newer one, unless memory was lost since."""
    seen: dict[tuple[str, str, int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for act, number, revision in _written(history):
        assert act.chat is not None
        assert act.ended is not None
        seen[act.client, act.token, act.chat, number].append((act.began, act.ended, revision))
    deleted = _asked_to_delete(history)
    for read in history.reads:
        known = seen[read.client, read.token, read.chat, read.number]
        now = -1 if read.revision is None else read.revision
        if now == -1 and deleted.get((read.token, read.chat), read.ended) < read.ended:
            continue  # a list of a deleted chat may be empty, it need not be refused
        for began, ended, revision in known:
            is_older = ended < read.began and now < revision
            if is_older and not history.lost_between(began, read.ended):
                what = f"{read.number} of chat {read.chat}"
                yield f"{read.client} read {what} at {now} after {revision}"
        known.append((read.began, read.ended, now))


def _asked_to_delete(history: History) -> dict[tuple[str, int | None], int]:
    """Since when each chat may be deleted."""
    asked: dict[tuple[str, int | None], int] = {}
    for act in history.acts:
        if act.kind == "delete_chat" and act.outcome != "refused":
            asked.setdefault((act.token, act.chat), act.began)
    return asked


def older_than_what_was_read(history: History, stored: Stored) -> Iterator[str]:
    """Who changes a message after reading it writes a newer state, unless memory was lost in between:
    a state that is older than the stored one would never be stored. A retry is answered with what its
    first try wrote."""
    tried: dict[object, int] = {}
    for act in history.acts:
        tried.setdefault(act.operation, act.began)
    reads: dict[tuple[str, str, int, int], list[Read]] = defaultdict(list)
    for read in history.reads:
        reads[read.client, read.token, read.chat, read.number].append(read)
    for act, number, revision in _written(history):
        assert act.chat is not None
        assert act.ended is not None
        if act.kind == "post":
            continue
        for read in reads.get((act.client, act.token, act.chat, number), ()):
            is_older = read.ended < tried[act.operation] and revision <= (read.revision or 0)
            if is_older and not history.lost_between(read.began, act.ended):
                yield f"{act} was accepted at {revision} after {read.revision} was read"


def _written(history: History) -> Iterator[tuple[Act, int, int]]:
    """Messages that acknowledged requests wrote: act, number, revision."""
    for act in history.acts:
        if act.outcome != "acknowledged" or act.revision is None:
            continue
        if act.kind == "post" and act.first is not None:
            for i in range(len(act.texts)):
                yield act, act.first + i, act.revision + i
        elif act.kind in ("edit", "delete") and act.number is not None:
            yield act, act.number, act.revision
