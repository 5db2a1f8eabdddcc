"""Rules about what was accepted: it is stored once, where the client was told, in its newest state."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from tests.promises.answers import creates
from tests.promises.history import Act, History
from tests.promises.stored import Stored, StoredChat, StoredMessage

# Application, chat and number of a message; a chat's own has None for the chat.
_Place = tuple[str, int | None, int]


class _State(msgspec.Struct):
    """A state that was acknowledged; the text is None where the message is deleted by it."""

    revision: int | None
    text: str | None
    act: Act


def lost_chats(history: History, stored: Stored) -> Iterator[str]:
    """Acknowledged chats are there; those whose deletion was acknowledged are deleted, no others."""
    for act in history.acts:
        chat = stored.chats.get((act.token, act.chat or 0))
        is_deletion = act.kind == "delete_chat" and act.outcome == "acknowledged"
        if is_deletion and (chat is None or not chat.deleted):
            yield f"{act} was acknowledged, and the chat is not deleted"
    uncertain = _uncertain(history)
    for (token, parent, number), states in _acknowledged(history).items():
        if parent is not None:
            continue
        newest = max(states, key=lambda state: state.revision or 1)
        chat = stored.chats.get((token, number))
        if chat is not None and chat.deleted:
            continue
        if chat is None or chat.revision < (newest.revision or 1):
            yield f"{newest.act} was acknowledged for chat {number}, and is not stored"
        elif chat.title not in {newest.text, *uncertain[token, None, number]}:
            yield f"{newest.act} was acknowledged for chat {number}, which has {chat.title!r}"
    may_be_deleted = _may_be_deleted(history)
    for (token, number), chat in stored.chats.items():
        if chat.deleted and (token, number) not in may_be_deleted:
            yield f"chat {number} is deleted, and nobody asked for it"


def _may_be_deleted(history: History) -> set[tuple[str, int | None]]:
    """Chats that somebody wanted deleted, and was not refused."""
    return {
        (act.token, act.chat)
        for act in history.acts
        if act.kind == "delete_chat" and act.outcome != "refused"
    }


def lost_messages(history: History, stored: Stored) -> Iterator[str]:
    """Every acknowledged message is stored under its number, in the newest state that was accepted."""
    uncertain = _uncertain(history)
    for (token, chat, number), states in _acknowledged(history).items():
        row = stored.chats.get((token, chat or 0))
        if chat is None or (row is not None and row.deleted):
            continue
        message = row.messages.get(number) if row else None
        if message is None:
            yield f"{states[0].act} got number {number}, and is not stored"
            continue
        said = _wrong_state(message, states, uncertain[token, chat, number], history)
        if said:
            yield f"message {number} of chat {chat} {said}"


def _acknowledged(history: History) -> dict[_Place, list[_State]]:
    """The acknowledged states of each message and each chat, but for deletions of chats."""
    states: dict[_Place, list[_State]] = defaultdict(list)
    for act, number, i, text in creates(history):
        revision = None if act.revision is None else act.revision + i
        states[act.token, act.chat, number].append(_State(revision, text, act))
    for place, left, act in _changes(history):
        if act.outcome == "acknowledged":
            states[place].append(_State(act.revision, left, act))
    return states


def _uncertain(history: History) -> dict[_Place, set[str | None]]:
    """Texts (None for a deletion) that a change with an unknown outcome may have left."""
    texts: dict[_Place, set[str | None]] = defaultdict(set)
    for place, text, act in _changes(history):
        if act.outcome == "unknown":
            texts[place].add(text)
    return texts


def _changes(history: History) -> Iterator[tuple[_Place, str | None, Act]]:
    """Where each change of a message, or of a chat's title, was to leave which text."""
    for act in history.acts:
        if act.kind == "edit_chat":
            yield (act.token, None, act.chat or 0), act.texts[0], act
        elif act.kind in ("edit", "delete"):
            place = (act.token, act.chat, act.number or 0)
            yield place, act.texts[0] if act.kind == "edit" else None, act


def _wrong_state(
    message: StoredMessage, states: list[_State], uncertain: set[str | None], history: History
) -> str | None:
    text = None if message.deleted else message.body
    deleted = next((s.act for s in states if s.text is None), None)
    if deleted and text is not None and not history.lost_between(deleted.began, None):
        return f"holds {text!r} although {deleted} was acknowledged"
    newest = max(states, key=lambda state: state.revision or 0)
    if message.revision < (newest.revision or 0):
        return f"is stored at {message.revision}, older than {newest.act} at {newest.revision}"
    if message.revision == newest.revision:
        return None if text == newest.text else f"holds {text!r}, and not that of {newest.act}"
    untold = {state.text for state in states if state.revision is None}
    if text in uncertain | untold:
        return None
    return f"is stored at {message.revision} with {text!r}, newer than {newest.act}"


def lost_edits(history: History, stored: Stored) -> Iterator[str]:
    """An edit starts from the state before it, so none is overwritten unseen, unless memory was lost."""
    for act in history.acts:
        row = stored.chats.get((act.token, act.chat or 0))
        if "edit" not in act.kind or act.outcome != "acknowledged" or row is None or row.deleted:
            continue
        changed: StoredChat | StoredMessage | None = row
        if act.kind == "edit":
            changed = row.messages.get(act.number or 0)
        if changed is None or changed.deleted or changed.edits is None:
            continue
        if act.texts[0] not in changed.edits and not history.lost_between(act.began, None):
            yield f"{act} was overwritten by {changed.edits[-1:]}, which did not start from it"


def lost_from_the_inbox(history: History, stored: Stored) -> Iterator[str]:
    """What the inbox took is stored, and once unless memory was lost since; or its chat was deleted."""
    found: Counter[tuple[str, int | None, str | None]] = Counter()
    for (token, chat), row in stored.chats.items():
        found[token, None, row.key] += 1
        for message in row.messages.values():
            found[token, chat, message.key] += 1
    may_be_deleted = _may_be_deleted(history)
    for act in history.acts:
        if act.outcome != "taken":
            continue
        times = found[act.token, act.chat, act.key]
        if times == 0 and (act.token, act.chat) not in may_be_deleted:
            yield f"{act} was taken by the inbox, and is not stored"
        if times > 1 and not history.lost_between(act.began, None):
            yield f"{act} was taken by the inbox, and is stored {times} times"


def edits_made_twice(history: History, stored: Stored) -> Iterator[str]:
    """An edit is made once however often it is sent, unless memory was lost between its tries."""
    operations = _by_text(history)
    for (_, chat), row in stored.chats.items():
        states: list[tuple[int, StoredChat | StoredMessage]] = [(0, row), *row.messages.items()]
        for number, changed in states:
            edits = changed.edits or ()
            for text in sorted({text for text in edits if edits.count(text) > 1}):
                if not _forgotten(history, operations.get(text, [])):
                    what = f"message {number} of chat {chat}" if number else f"chat {chat}"
                    yield f"{what} was edited to {text!r} twice"


def texts_stored_twice(history: History, stored: Stored) -> Iterator[str]:
    """An operation is stored once however often it is sent, unless memory was lost between its tries."""
    operations = _by_text(history)
    found: dict[str, tuple[str, int, int]] = {}
    for (token, chat), row in stored.chats.items():
        for number, message in row.messages.items():
            if message.deleted or row.deleted:
                continue
            place = (token, chat, number)
            before = found.setdefault(message.body, place)
            if before != place and not _forgotten(history, operations.get(message.body, [])):
                yield f"{message.body!r} is stored as {before[1:]} and as {place[1:]}"


def _forgotten(history: History, tries: list[Act]) -> bool:
    """Whether memory was lost between the tries of an operation. The inbox may try as often as it likes."""
    ends = [act.ended for act in tries]
    end = None if None in ends else max((e for e in ends if e is not None), default=0)
    is_tried_again = len(tries) > 1 or any(act.outcome == "taken" for act in tries)
    return is_tried_again and history.lost_between(min(act.began for act in tries), end)


def strange_texts(history: History, stored: Stored) -> Iterator[str]:
    """What is stored was sent, to this chat, and was not refused."""
    operations = _by_text(history)
    for (token, chat), row in stored.chats.items():
        for number, message in row.messages.items():
            if message.deleted or row.deleted:
                continue
            tries = operations.get(message.body, [])
            if not any((a.token, a.chat) == (token, chat) for a in tries):
                yield f"message {number} of chat {chat} holds {message.body!r}: nobody sent it there"
            elif all(act.outcome == "refused" for act in tries):
                yield f"message {number} of chat {chat} holds {message.body!r}, which was refused"


def _by_text(history: History) -> dict[str, list[Act]]:
    tries: dict[str, list[Act]] = defaultdict(list)
    for act in history.acts:
        for text in act.texts:
            tries[text].append(act)
    return tries
