"""Process the records of one invocation, so that a record fails alone, and for a reason that can be read.

The lines of the log name the chats and messages that records hold, but never the content.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from chalicelib.domain.errors import OrdinalError, PoisonError, safe_text
from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.metrics import ERRORS, RECORD_LAG, RECORDS_DEAD_LETTERED, RECORDS_RETRIED
from chalicelib.domain.models import AppToken, Chat, ChatNumber, Message, Revision
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
    split_in_half,
)
from chalicelib.usecases.ports import Ports

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 2
_LONGEST_DELAY_SECONDS = 900


class Received(msgspec.Struct, frozen=True):
    """A record as SQS delivers it. `receives` counts the deliveries, this one included.

    `sent_at_ms` is when it was sent, in milliseconds since 1970 by the clock of SQS.
    """

    id: str
    receipt: str
    body: str
    receives: int
    sent_at_ms: int


class _Item[R: AnyRecord | InboxRecord](msgspec.Struct, frozen=True):
    """A record, or a part of one, and the delivery that it came in."""

    received: Received
    record: R
    body: str


def process_batch[R: AnyRecord | InboxRecord](
    ports: Ports,
    queue: str,
    received: Sequence[Received],
    decode: Callable[[str], R],
    handle: Callable[[Sequence[R]], None],
) -> list[str]:
    """The ids of the records that SQS must deliver again. All others are done.

    A record that can never succeed goes to the dead-letter queue with its reason. It is found by splitting
    the batch in halves, and then the record itself, so its neighbours succeed. A record that can succeed
    later is delivered again after a pause that doubles each time.
    """
    to_retry: dict[str, Received] = {}
    readable: list[_Item[R]] = []
    for item in received:
        try:
            readable.append(_Item(item, decode(item.body), item.body))
        except (msgspec.MsgspecError, ValueError) as error:
            logger.error("cannot be read", extra={"queue": queue, "message_id": item.id})
            reason = f"not a record that this version can read: {error}"
            _dead_letter(ports, queue, item, item.body, reason, to_retry)
    if readable:
        _handle(ports, queue, readable, handle, to_retry)
    ports.metrics.count(RECORDS_RETRIED, len(to_retry), dimension=queue)
    if to_retry:
        _delay(ports, queue, list(to_retry.values()))
    return list(to_retry)


def _handle[R: AnyRecord | InboxRecord](
    ports: Ports,
    queue: str,
    batch: Sequence[_Item[R]],
    handle: Callable[[Sequence[R]], None],
    to_retry: dict[str, Received],
) -> None:
    try:
        handle([item.record for item in batch])
    except PoisonError as error:
        parts = _split(batch)
        if len(parts) == 1:
            _log(logging.ERROR, "can never succeed", queue, batch, **error_fields(error))
            _dead_letter(ports, queue, batch[0].received, batch[0].body, str(error), to_retry)
            return
        for part in parts:
            _handle(ports, queue, part, handle, to_retry)
    except OrdinalError as error:
        ports.metrics.count(ERRORS, dimension=error.code)
        _log(logging.WARNING, "will be retried", queue, batch, **error_fields(error))
        to_retry.update((item.received.id, item.received) for item in batch)
    except Exception as error:
        _log(logging.ERROR, "failed", queue, batch, error=type(error).__name__)
        raise
    else:
        sent_at_ms = min(item.received.sent_at_ms for item in batch)
        lag_ms = max(0, ports.clock.now_ms() - sent_at_ms)
        ports.metrics.measure(RECORD_LAG, lag_ms, dimension=queue)
        log_records(logging.INFO, "processed", [item.record for item in batch], queue=queue)


def _log[R: AnyRecord | InboxRecord](
    level: int, text: str, queue: str, batch: Sequence[_Item[R]], **fields: str
) -> None:
    for item in batch:
        log_records(level, text, [item.record], queue=queue, message_id=item.received.id, **fields)


def _split[R: AnyRecord | InboxRecord](batch: Sequence[_Item[R]]) -> list[Sequence[_Item[R]]]:
    """The two halves of the batch, or of its only record; the batch alone if that cannot be split."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    [item] = batch
    parts = split_in_half(item.record)
    if len(parts) == 1:
        return [batch]
    return [[_Item(item.received, part, msgspec.json.encode(part).decode())] for part in parts]


def _dead_letter(
    ports: Ports,
    queue: str,
    item: Received,
    body: str,
    reason: str,
    to_retry: dict[str, Received],
) -> None:
    try:
        ports.queues.dead_letter(queue, body, reason)
        ports.metrics.count(RECORDS_DEAD_LETTERED, dimension=queue)
    except OrdinalError as error:
        fields = {"queue": queue, "message_id": item.id, **error_fields(error)}
        logger.warning("could not be dead-lettered yet", extra=fields)
        to_retry[item.id] = item


def _delay(ports: Ports, queue: str, items: Sequence[Received]) -> None:
    delays = {
        item.receipt: min(_FIRST_DELAY_SECONDS * 2**item.receives, _LONGEST_DELAY_SECONDS)
        for item in items
    }
    try:
        ports.queues.delay(queue, delays)
    except OrdinalError as error:
        # SQS delivers them again anyway, after the queue's visibility timeout.
        fields = {"queue": queue, "message_ids": [item.id for item in items], **error_fields(error)}
        logger.warning("the visibility timeout stays unchanged", extra=fields)


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
