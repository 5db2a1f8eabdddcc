"""Log lines about records: whose they are and what went wrong, and nothing of what they say."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from chalicelib.domain.errors import OrdinalError, safe_text
from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
)

# Which messages or chats a record is about, and nothing of what they say: the part that may be logged.


class LogSubject(msgspec.Struct, frozen=True, kw_only=True):
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


def log_subjects(records: Iterable[AnyRecord | InboxRecord]) -> list[LogSubject]:
    """One for each counter that the records hold states of. What is in the inbox has no number yet."""
    found: dict[tuple[str, int | None], list[tuple[int, int]]] = {}
    unnumbered: Counter[tuple[str, int | None]] = Counter()
    for record in records:
        match record:
            case MessagesRecord():
                found.setdefault((record.token, record.chat), []).extend(_pairs(record.messages))
            case ChatsRecord():
                found.setdefault((record.token, None), []).extend(_pairs(record.chats))
            case DocumentsRecord():
                for document in record.documents:
                    pairs = found.setdefault((document.token, document.chat), [])
                    pairs.extend(_pairs([document.message]))
            case InboxChat():
                unnumbered[record.token, None] += 1
            case InboxMessage():
                unnumbered[record.token, record.chat] += 1
            case PurgeRecord():
                unnumbered[record.token, record.chat] += 0
    return [
        *(_spanning(token, chat, pairs) for (token, chat), pairs in found.items()),
        *(LogSubject(token=t, chat=chat, states=n) for (t, chat), n in unnumbered.items()),
    ]


def log_subject(token: str, chat: int | None, states: Sequence[Message | Chat]) -> LogSubject:
    """The identity of states of one counter."""
    return _spanning(token, chat, _pairs(states))


def log_subject_of_revisions(token: str, chat: int | None, revisions: dict[int, int]) -> LogSubject:
    """The identity of numbers of one counter that were dealt with up to these revisions."""
    return _spanning(token, chat, revisions.items())


def _pairs(states: Sequence[Message | Chat]) -> list[tuple[int, int]]:
    return [(state.number, state.revision) for state in states]


def _spanning(token: str, chat: int | None, pairs: Iterable[tuple[int, int]]) -> LogSubject:
    numbers, revisions = zip(*pairs, strict=True)
    return LogSubject(
        token=token,
        chat=chat,
        first=min(numbers),
        last=max(numbers),
        first_revision=min(revisions),
        revision=max(revisions),
        states=len(numbers),
    )


# Lines of the log about records: whose they are and what went wrong, and nothing of what they say.

logger = logging.getLogger(__name__)


def log_records(
    level: int, text: str, records: Iterable[AnyRecord | InboxRecord], **fields: str
) -> None:
    """One line for each counter that the records hold states of."""
    if logger.isEnabledFor(level):
        for identity in log_subjects(records):
            logger.log(level, text, extra={**identity.fields(), **fields})


def error_fields(error: OrdinalError) -> dict[str, str]:
    """The fields that say what went wrong."""
    return {"code": error.code, "reason": safe_text(error)}
