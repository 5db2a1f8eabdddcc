"""Rules about the responses alone: they must not contradict each other, whatever is stored."""

from collections import defaultdict
from collections.abc import Iterator

from tests.invariants.history import TWO_PRIMARIES, Attempt, History, MarkerResponse, Read
from tests.invariants.stored import Stored

# Token, chat and number of a message. The chat of a chat's own number is None.
_Id = tuple[str, int | None, int]


def creations(history: History) -> Iterator[tuple[Attempt, int, int, str]]:
    """Everything that acknowledged requests created: attempt, number, index in the request, and text."""
    for attempt in history.attempts:
        if attempt.kind in ("chat", "post") and attempt.outcome == "acknowledged":
            assert attempt.first is not None
            for i, text in enumerate(attempt.texts):
                yield attempt, attempt.first + i, i, text


def numbers_issued_twice(history: History, stored: Stored) -> Iterator[str]:
    """A number belongs to one operation."""
    owners: dict[_Id, Attempt] = {}
    for attempt, number, _, _ in creations(history):
        owner = owners.setdefault((attempt.token, attempt.chat, number), attempt)
        if owner.operation != attempt.operation:
            yield f"{number} was issued to {owner} and to {attempt}"


def revisions_issued_twice(history: History, stored: Stored) -> Iterator[str]:
    """A revision of a chat's messages, or of an application's chats, belongs to one version."""
    owners: dict[_Id, tuple[object, Attempt]] = {}
    for attempt in history.attempts:
        if attempt.outcome != "acknowledged" or attempt.revision is None:
            continue
        chat = None if attempt.kind in ("edit_chat", "delete_chat") else attempt.chat
        for i in range(len(attempt.texts) or 1):
            revision = attempt.revision + i
            id_ = (attempt.token, chat, revision)
            operation, owner = owners.setdefault(id_, (attempt.operation, attempt))
            if operation != attempt.operation:
                yield f"revision {revision} was issued to {owner} and to {attempt}"


def retries_with_another_response(history: History, stored: Stored) -> Iterator[str]:
    """All attempts of one operation get the same response, unless Redis lost data between them."""
    by_operation: dict[object, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        if attempt.key is not None and attempt.outcome == "acknowledged":
            by_operation[attempt.operation].append(attempt)
    for attempts in by_operation.values():
        began = min(attempt.began for attempt in attempts)
        if history.loss_between(began, max(attempt.ended or 0 for attempt in attempts)):
            continue
        for attempt in attempts[1:]:
            first, response = _response(attempts[0]), _response(attempt)
            if response != first:
                yield f"{attempt} got the response {response} after {first}"


def _response(attempt: Attempt) -> tuple[int | None, int | None, int | None]:
    return attempt.first, attempt.last, attempt.revision


def accepted_under_a_replaced_key(history: History, stored: Stored) -> Iterator[str]:
    """A replaced key is refused from then on.

    A key that was replaced while there were two primaries is an exception: the primary that missed the
    change may still accept it.
    """
    splits = [loss for loss in history.losses if loss.cause == TWO_PRIMARIES]
    for attempt in history.attempts:
        if attempt.outcome != "acknowledged":
            continue
        for span in attempt.replaced:
            if not any(split.overlaps(span.began, span.ended) for split in splits):
                yield f"{attempt} was accepted, but its key was replaced before it was sent"


def backward_reads(history: History, stored: Stored) -> Iterator[str]:
    """A client that wrote or read a version reads it or a newer one, unless Redis lost data since."""
    known_versions: dict[tuple[str, str, int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for attempt, number, revision in _written(history):
        assert attempt.chat is not None
        assert attempt.ended is not None
        reader = (attempt.client, attempt.token, attempt.chat, number)
        known_versions[reader].append((attempt.began, attempt.ended, revision))
    deletions = _first_deletions(history)
    for read in history.reads:
        known = known_versions[read.client, read.token, read.chat, read.number]
        now = -1 if read.revision is None else read.revision
        if now == -1 and deletions.get((read.token, read.chat), read.ended) < read.ended:
            continue  # the list of a deleted chat may be empty instead of refused
        for began, ended, revision in known:
            is_older = ended < read.began and now < revision
            if is_older and not history.loss_between(began, read.ended):
                message = f"{read.number} of chat {read.chat}"
                yield f"{read.client} read {message} at {now} after {revision}"
        known.append((read.began, read.ended, now))


def _first_deletions(history: History) -> dict[tuple[str, int | None], int]:
    """The position of the first request to delete each chat. Refused requests do not count."""
    deletions: dict[tuple[str, int | None], int] = {}
    for attempt in history.attempts:
        if attempt.kind == "delete_chat" and attempt.outcome != "refused":
            deletions.setdefault((attempt.token, attempt.chat), attempt.began)
    return deletions


def edits_older_than_reads(history: History, stored: Stored) -> Iterator[str]:
    """A client that changes a message after reading it writes a newer version, unless Redis lost data.

    A version that is older than the stored one would never be stored. A retry gets the revision of its
    first attempt, so the first attempt counts.
    """
    first_began: dict[object, int] = {}
    for attempt in history.attempts:
        first_began.setdefault(attempt.operation, attempt.began)
    reads: dict[tuple[str, str, int, int], list[Read]] = defaultdict(list)
    for read in history.reads:
        reads[read.client, read.token, read.chat, read.number].append(read)
    for attempt, number, revision in _written(history):
        assert attempt.chat is not None
        assert attempt.ended is not None
        if attempt.kind == "post":
            continue
        for read in reads.get((attempt.client, attempt.token, attempt.chat, number), ()):
            began = first_began[attempt.operation]
            is_older = read.ended < began and revision <= (read.revision or 0)
            if is_older and not history.loss_between(read.began, attempt.ended):
                yield f"{attempt} was accepted at {revision} after a read at {read.revision}"


def backward_markers(history: History, stored: Stored) -> Iterator[str]:
    """A read marker never moves back, whatever Redis loses."""
    before: dict[tuple[str, str, int], list[MarkerResponse]] = defaultdict(list)
    for marker in history.markers:
        earlier_markers = before[marker.token, marker.user, marker.chat]
        for earlier in earlier_markers:
            if earlier.ended < marker.began and earlier.number > marker.number:
                reader = f"{marker.user} has read chat {marker.chat}"
                yield f"{reader} to {marker.number}, after {earlier.number}"
        earlier_markers.append(marker)
    for (token, user, chat), (number, _) in stored.readers.items():
        highest = max((marker.number for marker in before[token, user, chat]), default=0)
        if number < highest:
            yield f"{user} has read chat {chat} to {number} at the end, after {highest}"


def pages_with_a_gap(history: History, stored: Stored) -> Iterator[str]:
    """A page skips no message: a client that continues after the page would never see it.

    If Redis lost data, records that were on their way may come late.
    """
    if history.losses:
        return
    deleted = {
        (attempt.token, attempt.chat, attempt.number)
        for attempt in history.attempts
        if attempt.kind == "delete"
    }
    for page in history.pages:
        row = stored.chats.get((page.token, page.chat))
        if row is None or row.deleted:
            continue
        for number in range(page.after + 1, max(page.numbers, default=0)):
            is_skipped = number in row.messages and number not in page.numbers
            if is_skipped and (page.token, page.chat, number) not in deleted:
                shown = f"{page.numbers} after {page.after}"
                yield f"{page.client} saw {shown} in chat {page.chat}, without {number}"


def refused_without_a_fault(history: History, stored: Stored) -> Iterator[str]:
    """Nothing is refused with 409 or 503 while nothing fails, however many requests meet."""
    if history.is_faultless:
        yield from history.refusals


def _written(history: History) -> Iterator[tuple[Attempt, int, int]]:
    """Messages that acknowledged requests wrote: attempt, number, revision."""
    for attempt in history.attempts:
        if attempt.outcome != "acknowledged" or attempt.revision is None:
            continue
        if attempt.kind == "post" and attempt.first is not None:
            for i in range(len(attempt.texts)):
                yield attempt, attempt.first + i, attempt.revision + i
        elif attempt.kind in ("edit", "delete") and attempt.number is not None:
            yield attempt, attempt.number, attempt.revision
