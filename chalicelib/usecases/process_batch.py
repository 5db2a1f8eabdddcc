"""Process the records of one invocation, so that a record fails alone, and for a reason that can be read.

Promise 9 for the queues: what happens to one record never happens to its neighbours. Only an outage concerns
all of them. Two things could break this. A batch is one transaction: if it fails, it is halved, until the
record that is the cause stands alone. The time of a function is limited: the batch is processed in chunks,
and what was not started in time comes again at once. Tests: `tests/unit/test_process_batch.py`.

The lines of the log name the chats and messages that records hold, but never the content.
"""

import logging
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from chalicelib.domain.errors import (
    DeadlineError,
    OrdinalError,
    OutageError,
    PoisonError,
    safe_text,
)
from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.metrics import (
    ERRORS,
    RECORD_LAG,
    RECORDS_DEAD_LETTERED,
    RECORDS_NOT_STARTED,
    RECORDS_RETRIED,
)
from chalicelib.domain.models import AppToken, Chat, ChatNumber, Message, Revision
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
    count_versions,
    split_in_half,
)
from chalicelib.domain.times import Deadline
from chalicelib.usecases.ports import Ports

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 2
_LONGEST_PAUSE_SECONDS = 900
# A record that fails alone goes to the dead-letter queue after so many deliveries, but not while it is
# younger than the pauses between them: deliveries in which it was not started count as well.
MAX_DELIVERIES = 12
MIN_AGE_MS = 30 * 60_000
# A chunk is twice as large as the one before it, as long as chunks take less than this.
_SHORT_CHUNK_MS = 1_000
_MAX_FRAMES = 12


class ChunkSize(msgspec.Struct, frozen=True):
    """How much one chunk holds at most: bytes of the records, and versions in them."""

    size_bytes: int
    versions: int

    def scaled(self, factor: float) -> "ChunkSize":
        return ChunkSize(int(self.size_bytes * factor), int(self.versions * factor))

    def limited_to(self, other: "ChunkSize") -> "ChunkSize":
        return ChunkSize(min(self.size_bytes, other.size_bytes), min(self.versions, other.versions))


# One chunk is one transaction, or, for the search queue, one bulk request (`opensearch/index.py`).
_LARGEST_CHUNK = ChunkSize(5_000_000, 5_000)
_LARGEST_CHUNKS = {"search": ChunkSize(1_500_000, 2_000)}
# The first chunk is smaller, because nobody knows yet how fast the parts are.
_FIRST_CHUNK_SHARE = 0.25


class Received(msgspec.Struct, frozen=True):
    """A record as SQS delivers it. `receives` counts the deliveries, this one included.

    `sent_at_ms` is when it was sent, in milliseconds since 1970 by the clock of SQS.
    """

    id: str
    receipt: str
    body: str
    receives: int
    sent_at_ms: int


# The error of each record that failed alone, by its index among the records. All others are done.
Failures = Mapping[int, Exception]


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
    handle: Callable[[Sequence[R]], Failures | None],
    deadline: Deadline,
) -> list[str]:
    """The ids of the records that SQS must deliver again. All others are done.

    - A record that can never succeed goes to the dead-letter queue with its reason.
    - A record that fails and can succeed later is delivered again, after a pause that doubles each time.
      After `MAX_DELIVERIES` it goes to the dead-letter queue as well.
    - In an outage, all records that are not done are delivered again after such pauses.
    - A record that the deadline left no time for is delivered again at once.

    `handle` returns which records failed alone. If it raises anything but `OutageError`, it is called again
    with each half of the records, and then with the halves of the record.
    """
    batch = _Batch(ports, queue, handle, deadline)
    try:
        batch.process(received, decode)
    except OutageError:
        batch.outage = True
    return batch.finish(received)


class _Batch[R: AnyRecord | InboxRecord]:
    """The records of one invocation, by what became of them."""

    def __init__(
        self,
        ports: Ports,
        queue: str,
        handle: Callable[[Sequence[R]], Failures | None],
        deadline: Deadline,
    ) -> None:
        self._ports = ports
        self._queue = queue
        self._call = handle
        self._deadline = deadline
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._not_started: set[str] = set()
        self.outage = False

    def process(self, received: Sequence[Received], decode: Callable[[str], R]) -> None:
        """Process chunk after chunk. Raises `OutageError`."""
        largest = _LARGEST_CHUNKS.get(self._queue, _LARGEST_CHUNK)
        size = largest.scaled(_FIRST_CHUNK_SHARE)
        waiting = deque(received)
        while waiting and self._deadline.allows_step():
            chunk = self._take(waiting, size, decode)
            if chunk:
                self._handle(chunk)
            if self._deadline.last_step_ms < _SHORT_CHUNK_MS:
                size = size.scaled(2).limited_to(largest)

    def finish(self, received: Sequence[Received]) -> list[str]:
        """Set when SQS delivers again what is not done; returns the ids."""
        to_retry = [item for item in received if not self._is_done(item.id)]
        failed = {item.id for item in to_retry if self.outage or item.id in self._failed}
        metrics = self._ports.metrics
        metrics.count(RECORDS_RETRIED, len(failed), dimension=self._queue)
        metrics.count(RECORDS_NOT_STARTED, len(to_retry) - len(failed), dimension=self._queue)
        if to_retry:
            now_ms = self._ports.clock.now_ms()
            self._delay(
                {
                    item.receipt: _pause_seconds(item, now_ms) if item.id in failed else 0
                    for item in to_retry
                }
            )
        return [item.id for item in to_retry]

    def _is_done(self, id_: str) -> bool:
        """A record whose parts are done is not, if another part of it is not."""
        return id_ in self._done and id_ not in self._failed and id_ not in self._not_started

    def _take(
        self, waiting: deque[Received], size: ChunkSize, decode: Callable[[str], R]
    ) -> list[_Item[R]]:
        """The next records that fit into one chunk, at least one. Unreadable ones are dead-lettered."""
        chunk: list[_Item[R]] = []
        size_bytes = versions = 0
        while waiting and self._deadline.allows_step():
            item = waiting[0]
            size_bytes += _size_bytes(item.body)
            if chunk and size_bytes > size.size_bytes:
                break
            try:
                record = decode(item.body)
            except (msgspec.MsgspecError, ValueError) as error:
                waiting.popleft()
                fields = {"queue": self._queue, "message_id": item.id}
                logger.error("cannot be read", extra=fields)
                reason = f"not a record that this version can read: {error}"
                self._dead_letter(item, item.body, reason)
                continue
            versions += count_versions(record)
            if chunk and versions > size.versions:
                break
            waiting.popleft()
            chunk.append(_Item(item, record, item.body))
        return chunk

    def _handle(self, chunk: Sequence[_Item[R]]) -> None:
        if not self._deadline.allows_step():
            self._not_started.update(item.received.id for item in chunk)
            return
        try:
            with self._deadline.step():
                failures = self._call([item.record for item in chunk]) or {}
        except OutageError as error:
            self._fail(chunk, error)
            raise
        except Exception as error:
            parts = _split(chunk)
            if len(parts) == 1:
                self._fail(chunk, error)
            else:
                for part in parts:
                    self._handle(part)
            return
        self._succeed([item for index, item in enumerate(chunk) if index not in failures])
        for index, failure in failures.items():
            self._fail([chunk[index]], failure)

    def _succeed(self, items: Sequence[_Item[R]]) -> None:
        if items:
            self._done.update(item.received.id for item in items)
            sent_at_ms = min(item.received.sent_at_ms for item in items)
            lag_ms = max(0, self._ports.clock.now_ms() - sent_at_ms)
            self._ports.metrics.measure(RECORD_LAG, lag_ms, dimension=self._queue)
            records = [item.record for item in items]
            log_records(logging.INFO, "processed", records, queue=self._queue)

    def _fail(self, items: Sequence[_Item[R]], error: Exception) -> None:
        """Decide what becomes of records that failed: of one alone, or of several in an outage."""
        match error:
            case DeadlineError():
                self._not_started.update(item.received.id for item in items)
                return
            case PoisonError():
                self._log(logging.ERROR, "can never succeed", items, **error_fields(error))
                for item in items:
                    self._dead_letter(item.received, item.body, str(error))
                return
            case OrdinalError():
                self._ports.metrics.count(ERRORS, dimension=error.code)
                self._log(logging.WARNING, "will be retried", items, **error_fields(error))
            case _:
                self._ports.metrics.count(ERRORS, dimension="internal")
                self._log(logging.ERROR, "failed", items, **error_location(error))
        self.outage = self.outage or isinstance(error, OutageError)
        for item in items:
            if not isinstance(error, OutageError) and self._is_exhausted(item.received):
                reason = f"failed {item.received.receives} times: {_reason(error)}"
                self._dead_letter(item.received, item.body, reason)
            else:
                self._failed.add(item.received.id)

    def _is_exhausted(self, item: Received) -> bool:
        age_ms = self._ports.clock.now_ms() - item.sent_at_ms
        return item.receives >= MAX_DELIVERIES and age_ms >= MIN_AGE_MS

    def _dead_letter(self, item: Received, body: str, reason: str) -> None:
        """Raises `OutageError`: then nothing can be dead-lettered or delayed."""
        if not self._deadline.allows_step():
            self._not_started.add(item.id)
            return
        try:
            with self._deadline.step():
                self._ports.queues.dead_letter(self._queue, body, reason)
        except OrdinalError as error:
            fields = {"queue": self._queue, "message_id": item.id, **error_fields(error)}
            logger.warning("could not be dead-lettered yet", extra=fields)
            self._failed.add(item.id)
            if isinstance(error, OutageError):
                raise
        else:
            self._ports.metrics.count(RECORDS_DEAD_LETTERED, dimension=self._queue)
            self._done.add(item.id)

    def _delay(self, seconds_by_receipt: Mapping[str, int]) -> None:
        try:
            self._ports.queues.delay(self._queue, seconds_by_receipt)
        except OrdinalError as error:
            # SQS delivers them again anyway, after the queue's visibility timeout.
            fields = {"queue": self._queue, **error_fields(error)}
            logger.warning("the visibility timeout stays unchanged", extra=fields)

    def _log(self, level: int, text: str, items: Sequence[_Item[R]], **fields: Any) -> None:
        for item in items:
            log_records(
                level, text, [item.record], queue=self._queue, message_id=item.received.id, **fields
            )


def _size_bytes(body: str) -> int:
    return len(body) if body.isascii() else len(body.encode())


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


def _pause_seconds(item: Received, now_ms: int) -> int:
    """The pause doubles with each delivery, and is never longer than the record is old.

    So a record that waited through many deliveries without its fault does not start with the longest pause.
    Up to half of the pause depends on the record, so that records that failed together come back apart.
    """
    age_seconds = (now_ms - item.sent_at_ms) // 1000
    doubled: int = _FIRST_PAUSE_SECONDS * 2 ** min(item.receives, MAX_DELIVERIES)
    longest = min(doubled, _LONGEST_PAUSE_SECONDS, max(age_seconds, 2 * _FIRST_PAUSE_SECONDS))
    share = crc32(f"{item.id} {item.receives}".encode()) / 2**32
    return round(longest * (1 + share) / 2)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OrdinalError) else f"{type(error).__name__}: {error}"


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
    level: int, text: str, records: Iterable[AnyRecord | InboxRecord], **fields: Any
) -> None:
    """Write one line for each counter of which the records hold versions. Never raises."""
    if logger.isEnabledFor(level):
        try:
            for subject in log_subjects(records):
                logger.log(level, text, extra={**subject.fields(), **fields})
        except Exception as error:
            logger.error("records could not be named", extra=error_location(error))


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


def error_location(error: BaseException) -> dict[str, Any]:
    """Type and place of an unexpected error. Its text is left out, because it may hold content."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    return {
        "error": type(error).__name__,
        "at": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _pairs(versions: Sequence[Message | Chat]) -> list[tuple[int, int]]:
    return [(version.number, version.revision) for version in versions]


def _spanning(
    token: AppToken, chat: ChatNumber | None, pairs: Iterable[tuple[int, int]]
) -> LogSubject:
    """The subject for pairs of number and revision. There may be none: a record may be empty."""
    known = list(pairs)
    if not known:
        return LogSubject(token=token, chat=chat)
    numbers, revisions = zip(*known, strict=True)
    return LogSubject(
        token=token,
        chat=chat,
        first=min(numbers),
        last=max(numbers),
        first_revision=min(revisions),
        revision=max(revisions),
        versions=len(known),
    )
