"""Rules about accepted data: it is stored once, under the acknowledged number, in its newest version."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from tests.invariants.history import Attempt, History
from tests.invariants.responses import creations
from tests.invariants.stored import Stored, StoredChat, StoredMessage

# Token, chat and number of a message. The chat of a chat's own number is None.
_Id = tuple[str, int | None, int]


class _Version(msgspec.Struct):
    """An acknowledged version. The text of a deletion is None."""

    revision: int | None
    text: str | None
    attempt: Attempt


def lost_chats(history: History, stored: Stored) -> Iterator[str]:
    """Acknowledged chats are stored. Exactly the chats with an acknowledged deletion are deleted."""
    for attempt in history.attempts:
        chat = stored.chats.get((attempt.token, attempt.chat or 0))
        is_deletion = attempt.kind == "delete_chat" and attempt.outcome == "acknowledged"
        if is_deletion and (chat is None or not chat.deleted):
            yield f"{attempt} was acknowledged, but the chat is not deleted"
    uncertain = _uncertain(history)
    for (token, parent, number), versions in _acknowledged(history).items():
        if parent is not None:
            continue
        newest = max(versions, key=lambda version: version.revision or 1)
        chat = stored.chats.get((token, number))
        if chat is not None and chat.deleted:
            continue
        if chat is None or chat.revision < (newest.revision or 1):
            yield f"{newest.attempt} was acknowledged for chat {number}, but is not stored"
        elif chat.title not in {newest.text, *uncertain[token, None, number]}:
            yield f"{newest.attempt} was acknowledged for chat {number}, which has {chat.title!r}"
    may_be_deleted = _may_be_deleted(history)
    for (token, number), chat in stored.chats.items():
        if chat.deleted and (token, number) not in may_be_deleted:
            yield f"chat {number} is deleted, but no client deleted it"


def _may_be_deleted(history: History) -> set[tuple[str, int | None]]:
    """Chats with a deletion that was not refused."""
    return {
        (attempt.token, attempt.chat)
        for attempt in history.attempts
        if attempt.kind == "delete_chat" and attempt.outcome != "refused"
    }


def lost_messages(history: History, stored: Stored) -> Iterator[str]:
    """Every acknowledged message is stored under its number, in the newest accepted version."""
    uncertain = _uncertain(history)
    for (token, chat, number), versions in _acknowledged(history).items():
        row = stored.chats.get((token, chat or 0))
        if chat is None or (row is not None and row.deleted):
            continue
        message = row.messages.get(number) if row else None
        if message is None:
            yield f"{versions[0].attempt} got number {number}, but is not stored"
            continue
        violation = _wrong_version(message, versions, uncertain[token, chat, number], history)
        if violation:
            yield f"message {number} of chat {chat} {violation}"


def _acknowledged(history: History) -> dict[_Id, list[_Version]]:
    """The acknowledged versions of each message and of each chat, without deletions of chats."""
    versions: dict[_Id, list[_Version]] = defaultdict(list)
    for attempt, number, i, text in creations(history):
        revision = None if attempt.revision is None else attempt.revision + i
        versions[attempt.token, attempt.chat, number].append(_Version(revision, text, attempt))
    for id_, changed_text, attempt in _changes(history):
        if attempt.outcome == "acknowledged":
            versions[id_].append(_Version(attempt.revision, changed_text, attempt))
    return versions


def _uncertain(history: History) -> dict[_Id, set[str | None]]:
    """The texts (None for a deletion) of the changes with an unknown outcome."""
    texts: dict[_Id, set[str | None]] = defaultdict(set)
    for id_, text, attempt in _changes(history):
        if attempt.outcome == "unknown":
            texts[id_].add(text)
    return texts


def _changes(history: History) -> Iterator[tuple[_Id, str | None, Attempt]]:
    """What each change of a message or of a chat's title writes: the id, the text, the attempt."""
    for attempt in history.attempts:
        if attempt.kind == "edit_chat":
            yield (attempt.token, None, attempt.chat or 0), attempt.texts[0], attempt
        elif attempt.kind in ("edit", "delete"):
            id_ = (attempt.token, attempt.chat, attempt.number or 0)
            yield id_, attempt.texts[0] if attempt.kind == "edit" else None, attempt


def _wrong_version(
    message: StoredMessage, versions: list[_Version], uncertain: set[str | None], history: History
) -> str | None:
    text = None if message.deleted else message.body
    deletion = next((version.attempt for version in versions if version.text is None), None)
    if deletion and text is not None and not history.loss_between(deletion.began, None):
        return f"holds {text!r} although {deletion} was acknowledged"
    newest = max(versions, key=lambda version: version.revision or 0)
    if message.revision < (newest.revision or 0):
        return f"is stored at {message.revision}, older than {newest.attempt} at {newest.revision}"
    if message.revision == newest.revision:
        return None if text == newest.text else f"holds {text!r}, not the text of {newest.attempt}"
    without_revision = {version.text for version in versions if version.revision is None}
    if text in uncertain | without_revision:
        return None
    return f"is stored at {message.revision} with {text!r}, newer than {newest.attempt}"


def lost_edits(history: History, stored: Stored) -> Iterator[str]:
    """An edit starts from the version before it, so no edit is overwritten unseen, unless Redis lost data."""
    for attempt in history.attempts:
        row = stored.chats.get((attempt.token, attempt.chat or 0))
        is_edit = "edit" in attempt.kind and attempt.outcome == "acknowledged"
        if not is_edit or row is None or row.deleted:
            continue
        edited: StoredChat | StoredMessage | None = row
        if attempt.kind == "edit":
            edited = row.messages.get(attempt.number or 0)
        if edited is None or edited.deleted or edited.edits is None:
            continue
        is_lost = attempt.texts[0] not in edited.edits
        if is_lost and not history.loss_between(attempt.began, None):
            yield f"{attempt} was overwritten by {edited.edits[-1:]}, which did not start from it"


def lost_from_the_inbox(history: History, stored: Stored) -> Iterator[str]:
    """Every record that the inbox queue accepted is stored, unless its chat was deleted.

    It is stored once, unless Redis lost data since.
    """
    rows: Counter[tuple[str, int | None, str | None]] = Counter()
    for (token, chat), row in stored.chats.items():
        rows[token, None, row.key] += 1
        for message in row.messages.values():
            rows[token, chat, message.key] += 1
    may_be_deleted = _may_be_deleted(history)
    for attempt in history.attempts:
        if attempt.outcome != "enqueued":
            continue
        times = rows[attempt.token, attempt.chat, attempt.key]
        if times == 0 and (attempt.token, attempt.chat) not in may_be_deleted:
            yield f"{attempt} was accepted by the inbox, but is not stored"
        if times > 1 and not history.loss_between(attempt.began, None):
            yield f"{attempt} was accepted by the inbox, but is stored {times} times"


def edits_applied_twice(history: History, stored: Stored) -> Iterator[str]:
    """An edit is applied once however often it is sent, unless Redis lost data between the attempts."""
    attempts = _attempts_by_text(history)
    for (_, chat), row in stored.chats.items():
        versions: list[tuple[int, StoredChat | StoredMessage]] = [(0, row), *row.messages.items()]
        for number, version in versions:
            edits = version.edits or ()
            for text in sorted({text for text in edits if edits.count(text) > 1}):
                if not _is_excused(history, attempts.get(text, [])):
                    edited = f"message {number} of chat {chat}" if number else f"chat {chat}"
                    yield f"{edited} was edited to {text!r} twice"


def texts_stored_twice(history: History, stored: Stored) -> Iterator[str]:
    """An operation is stored once however often it is sent, unless Redis lost data between the attempts."""
    attempts = _attempts_by_text(history)
    first_ids: dict[str, tuple[str, int, int]] = {}
    for (token, chat), row in stored.chats.items():
        for number, message in row.messages.items():
            if message.deleted or row.deleted:
                continue
            id_ = (token, chat, number)
            first = first_ids.setdefault(message.body, id_)
            if first != id_ and not _is_excused(history, attempts.get(message.body, [])):
                yield f"{message.body!r} is stored as {first[1:]} and as {id_[1:]}"


def _is_excused(history: History, attempts: list[Attempt]) -> bool:
    """Whether Redis lost data between the attempts. A record of the inbox may be processed repeatedly."""
    ends = [attempt.ended for attempt in attempts]
    end = None if None in ends else max((e for e in ends if e is not None), default=0)
    is_retried = len(attempts) > 1 or any(attempt.outcome == "enqueued" for attempt in attempts)
    return is_retried and history.loss_between(min(attempt.began for attempt in attempts), end)


def unsent_texts(history: History, stored: Stored) -> Iterator[str]:
    """Every stored text was sent to its chat, and was not refused."""
    attempts_by_text = _attempts_by_text(history)
    for (token, chat), row in stored.chats.items():
        for number, message in row.messages.items():
            if message.deleted or row.deleted:
                continue
            attempts = attempts_by_text.get(message.body, [])
            if not any((a.token, a.chat) == (token, chat) for a in attempts):
                yield f"message {number} of chat {chat} holds {message.body!r}, which was never sent"
            elif all(attempt.outcome == "refused" for attempt in attempts):
                yield f"message {number} of chat {chat} holds {message.body!r}, which was refused"


def _attempts_by_text(history: History) -> dict[str, list[Attempt]]:
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        for text in attempt.texts:
            attempts[text].append(attempt)
    return attempts
