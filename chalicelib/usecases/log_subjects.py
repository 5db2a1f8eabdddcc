"""Lines of the log about records: which chats and messages they hold, but never the content."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from chalicelib.domain.errors import OrdinalError, safe_text
from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.models import AppToken, Chat, ChatNumber, Message, Revision
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
)

logger = logging.getLogger(__name__)


class LogSubject(msgspec.Struct, frozen=True, kw_only=True):
    """Versions of one counter: the lowest and highest number and revision, and how many versions.

    If `chat` is None, the numbers are those of chats. A `PurgeRecord` has no numbers.
    """

    token: AppToken
    chat: ChatNumber | None = None
    first: int | None = None
    last: int | None = None
    first_revision: int | None = None
    revision: Revision | None = None
    versions: int = 0

    def fields(self) -> dict[str, str | int]:
        """The known values, as fields of a line of the log."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if v is not None}


def log_records(
    level: int, text: str, records: Iterable[AnyRecord | InboxRecord], **fields: str
) -> None:
    """Write one line for each counter of which the records hold versions."""
    if logger.isEnabledFor(level):
        for subject in log_subjects(records):
            logger.log(level, text, extra={**subject.fields(), **fields})


def log_subjects(records: Iterable[AnyRecord | InboxRecord]) -> list[LogSubject]:
    """One subject for each counter. Records of the inbox have no numbers yet."""
    numbered: dict[tuple[AppToken, ChatNumber | None], list[tuple[int, int]]] = {}
    unnumbered: Counter[tuple[AppToken, ChatNumber | None]] = Counter()
    for record in records:
        match record:
            case MessagesRecord():
                numbered.setdefault((record.token, record.chat), []).extend(_pairs(record.messages))
            case ChatsRecord():
                numbered.setdefault((record.token, None), []).extend(_pairs(record.chats))
            case DocumentsRecord():
                for document in record.documents:
                    pairs = numbered.setdefault((document.token, document.chat), [])
                    pairs.extend(_pairs([document.message]))
            case InboxChat():
                unnumbered[record.token, None] += 1
            case InboxMessage():
                unnumbered[record.token, record.chat] += 1
            case PurgeRecord():
                unnumbered[record.token, record.chat] += 0
    return [
        *(_spanning(token, chat, pairs) for (token, chat), pairs in numbered.items()),
        *(LogSubject(token=t, chat=chat, versions=n) for (t, chat), n in unnumbered.items()),
    ]


def log_subject(
    token: AppToken, chat: ChatNumber | None, versions: Sequence[Message | Chat]
) -> LogSubject:
    """The subject for versions of one counter."""
    return _spanning(token, chat, _pairs(versions))


def log_subject_of_revisions(
    token: AppToken, chat: ChatNumber | None, revisions: dict[int, int]
) -> LogSubject:
    """The subject for numbers of one counter, with the revision of each."""
    return _spanning(token, chat, revisions.items())


def error_fields(error: OrdinalError) -> dict[str, str]:
    """The fields that describe an error."""
    return {"code": error.code, "reason": safe_text(error)}


def _pairs(versions: Sequence[Message | Chat]) -> list[tuple[int, int]]:
    return [(version.number, version.revision) for version in versions]


def _spanning(
    token: AppToken, chat: ChatNumber | None, pairs: Iterable[tuple[int, int]]
) -> LogSubject:
    numbers, revisions = zip(*pairs, strict=True)
    return LogSubject(
        token=token,
        chat=chat,
        first=min(numbers),
        last=max(numbers),
        first_revision=min(revisions),
        revision=max(revisions),
        versions=len(numbers),
    )
