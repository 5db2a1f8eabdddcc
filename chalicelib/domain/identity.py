"""Which messages or chats a record is about, and nothing of what they say: the part that may be logged."""

from collections.abc import Iterable, Sequence

import msgspec

from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.records import (
    AnyRecord,
    Chat,
    ChatsRecord,
    DocumentsRecord,
    Message,
    MessagesRecord,
)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """States of one counter: lowest and highest number and revision, and how many they are.

    Where `chat` is None the numbers are those of chats. A removal has no numbers.
    """

    token: str
    chat: int | None = None
    first: int | None = None
    last: int | None = None
    first_revision: int | None = None
    revision: int | None = None
    states: int = 0

    def fields(self) -> dict[str, str | int]:
        """What is known of it, as fields of a line of the log."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if v is not None}


def identities(record: AnyRecord | InboxRecord) -> list[Identity]:
    """One for each counter that the record holds states of. What is in the inbox has no number yet."""
    match record:
        case MessagesRecord():
            return [identity_of(record.token, record.chat, record.messages)]
        case ChatsRecord():
            return [identity_of(record.token, None, record.chats)]
        case DocumentsRecord():
            return _of_documents(record)
        case InboxChat():
            return [Identity(token=record.token, states=1)]
        case InboxMessage():
            return [Identity(token=record.token, chat=record.chat, states=1)]
    return [Identity(token=record.token, chat=record.chat)]


def identity_of(token: str, chat: int | None, states: Sequence[Message | Chat]) -> Identity:
    """The identity of states of one counter."""
    return _spanning(token, chat, [(state.number, state.revision) for state in states])


def of_revisions(token: str, chat: int | None, revisions: dict[int, int]) -> Identity:
    """The identity of numbers of one counter that were dealt with up to these revisions."""
    return _spanning(token, chat, revisions.items())


def _of_documents(record: DocumentsRecord) -> list[Identity]:
    found: dict[tuple[str, int], list[Message]] = {}
    for document in record.documents:
        found.setdefault((document.token, document.chat), []).append(document.message)
    return [identity_of(token, chat, states) for (token, chat), states in found.items()]


def _spanning(token: str, chat: int | None, pairs: Iterable[tuple[int, int]]) -> Identity:
    numbers, revisions = zip(*pairs, strict=True)
    return Identity(
        token=token,
        chat=chat,
        first=min(numbers),
        last=max(numbers),
        first_revision=min(revisions),
        revision=max(revisions),
        states=len(numbers),
    )
