"""What the clients saw: requests and their outcomes, reads, copies, read markers, and losses of Redis's data.

The record is append-only, and many threads may write to it. A time is a position in this record: the
history has no clock.
"""

from collections.abc import Iterable
from itertools import count
from threading import Lock
from typing import Literal

import msgspec

Kind = Literal["chat", "post", "edit", "delete", "edit_chat", "delete_chat"]
# "enqueued": the record is on the inbox queue. It must be stored, but nobody gets its number.
Outcome = Literal["acknowledged", "refused", "unknown", "enqueued"]

# The revision of a read that got 410. No revision is newer than a deletion.
GONE = 2**63

# This loss is more than a loss: two servers accepted writes at the same time.
TWO_PRIMARIES = "two primaries"


class Attempt(msgspec.Struct, eq=False):
    """One request. Its outcome is unknown (5xx, time-out, killed) until it is set.

    `texts` are the title of a chat, the bodies of a post, or the new body of an edit. Two operations never
    share a text. `number` is the message of an edit or of a deletion. `ended` is None until a response
    was seen; if it stays None, the request may still be running. `replaced` is set if the secret key of the
    request was not valid any more. It says when the key was replaced.
    """

    client: str
    kind: Kind
    token: str
    chat: int | None
    number: int | None
    texts: tuple[str, ...]
    key: str | None
    began: int
    outcome: Outcome = "unknown"
    first: int | None = None
    last: int | None = None
    revision: int | None = None
    ended: int | None = None
    replaced: "tuple[Span, ...]" = ()

    @property
    def operation(self) -> tuple[str, str | int]:
        """All attempts with one Idempotency-Key are one operation. An attempt without a key is its own."""
        return (self.token, self.began if self.key is None else self.key)

    def __str__(self) -> str:
        chat = "" if self.chat is None else f" in chat {self.chat}"
        number = "" if self.number is None else f" of {self.number}"
        key = "" if self.key is None else f", key {self.key}"
        return f"{self.client}'s {self.kind}{number}{chat} {'/'.join(self.texts)!r}{key}"


class Read(msgspec.Struct, frozen=True):
    """What a read by number saw: a revision, `GONE`, or None if there was no such message."""

    client: str
    token: str
    chat: int
    number: int
    revision: int | None
    began: int
    ended: int


class ShownPage(msgspec.Struct, frozen=True):
    """The numbers of the messages above `after` that a page in ascending order showed."""

    client: str
    token: str
    chat: int
    after: int
    numbers: tuple[int, ...]


class Copy(msgspec.Struct, eq=False):
    """A client's copy of a chat, made from the change feed: the latest version of each message.

    A version is a revision and a text. The text of a deleted message is None. `since` is the cursor of the
    next request. `backwards` lists messages that came in an older version than before.
    """

    client: str
    token: str
    chat: int
    since: str = "0"
    versions: dict[int, tuple[int, str | None]] = {}
    backwards: list[str] = []


class Span(msgspec.Struct, frozen=True):
    """Two positions. The event happened between them."""

    began: int
    ended: int


class MarkerResponse(msgspec.Struct, frozen=True):
    """A read marker and its unread count, as one response had them."""

    user: str
    token: str
    chat: int
    number: int
    unread: int
    began: int
    ended: int


class Loss(msgspec.Struct, eq=False):
    """Redis lost data. A lasting loss (two primaries) has no end until `History.end_loss`."""

    cause: str
    began: int
    ended: int | None

    def overlaps(self, began: int, ended: int | None) -> bool:
        """Whether a part of the loss lies between two positions."""
        return (ended is None or self.began <= ended) and (
            self.ended is None or began <= self.ended
        )


class History:
    """`start` an attempt before you send it, then `acknowledge` or `refuse` it, or leave it unknown."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.reads: list[Read] = []
        self.markers: list[MarkerResponse] = []
        self.copies: dict[tuple[str, str, int], Copy] = {}
        self.losses: list[Loss] = []
        self.pages: list[ShownPage] = []
        # Requests that got 409 or 503. If `is_faultless`, nothing failed and nothing waited for long.
        self.refusals: list[str] = []
        self.is_faultless = False
        self._positions = count(1)
        self._lock = Lock()

    def now(self) -> int:
        """The next position. Take it before you send a read."""
        with self._lock:
            return next(self._positions)

    def start(
        self,
        client: str,
        kind: Kind,
        token: str,
        chat: int | None = None,
        *,
        number: int | None = None,
        texts: tuple[str, ...] = (),
        key: str | None = None,
    ) -> Attempt:
        """Record a request before it is sent. A retry is another attempt."""
        with self._lock:
            attempt = Attempt(client, kind, token, chat, number, texts, key, next(self._positions))
            self.attempts.append(attempt)
        return attempt

    def acknowledge(
        self, attempt: Attempt, first: int | None, last: int | None, revision: int | None
    ) -> None:
        """The response was 202, with these numbers. A value is None if the response did not have it."""
        with self._lock:
            attempt.outcome, attempt.ended = "acknowledged", next(self._positions)
            attempt.first, attempt.last, attempt.revision = first, last, revision

    def enqueue(self, attempt: Attempt) -> None:
        """The inbox queue accepted the record."""
        with self._lock:
            attempt.outcome = "enqueued"

    def refuse(self, attempt: Attempt) -> None:
        """The response was 4xx."""
        with self._lock:
            attempt.outcome, attempt.ended = "refused", next(self._positions)

    def record_read(
        self, began: int, client: str, token: str, chat: int, number: int, revision: int | None
    ) -> None:
        """The read that was sent at `began` got a response."""
        with self._lock:
            ended = next(self._positions)
            self.reads.append(Read(client, token, chat, number, revision, began, ended))

    def record_page(self, page: ShownPage) -> None:
        """A page got a response."""
        with self._lock:
            self.pages.append(page)

    def record_refusal(self, request: str) -> None:
        """A request got 409 or 503."""
        with self._lock:
            self.refusals.append(request)

    def record_marker(
        self, began: int, user: str, token: str, chat: int, number: int, unread: int
    ) -> None:
        """The request for a read marker that was sent at `began` got a response."""
        with self._lock:
            ended = next(self._positions)
            self.markers.append(MarkerResponse(user, token, chat, number, unread, began, ended))

    def copy_of(self, client: str, token: str, chat: int) -> Copy:
        """The client's copy of a chat. A new copy is empty."""
        with self._lock:
            return self.copies.setdefault((client, token, chat), Copy(client, token, chat))

    def record_changes(
        self,
        copy: Copy,
        requested_since: str,
        changes: Iterable[tuple[int, int, str | None]],
        since: str,
    ) -> None:
        """Apply changes (number, revision, text) to a copy, unless the copy has moved on in between."""
        with self._lock:
            if copy.since != requested_since:
                return
            for number, revision, text in changes:
                before, _ = copy.versions.get(number, (0, None))
                if revision < before:
                    copy.backwards.append(f"{number} at {revision} after {before}")
                copy.versions[number] = (revision, text)
            copy.since = since

    def record_loss(self, cause: str, *, lasting: bool = False) -> Loss:
        """Redis loses data now, or from now until `end_loss` if the loss is `lasting`.

        Use a lasting loss too if the exact moment is unknown, as when a server is killed and started.
        """
        with self._lock:
            now = next(self._positions)
            loss = Loss(cause, now, None if lasting else now)
            self.losses.append(loss)
        return loss

    def end_loss(self, loss: Loss) -> None:
        """The lasting loss is over."""
        with self._lock:
            loss.ended = next(self._positions)

    def loss_between(self, began: int, ended: int | None) -> bool:
        """Whether Redis lost data between two positions. An `ended` of None is the end of time."""
        return any(loss.overlaps(began, ended) for loss in self.losses)
