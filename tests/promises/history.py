"""What clients saw: every request with its outcome, every read, the copies of those who follow the
changes of a chat, read markers, and when Redis lost its memory.

Append-only, and safe to write from many threads. Times are positions in this record, not of a clock.
"""

from collections.abc import Iterable
from itertools import count
from threading import Lock
from typing import Literal

import msgspec

Kind = Literal["chat", "post", "edit", "delete", "edit_chat", "delete_chat"]
# "taken": the inbox queue has it, so it must be kept, and nobody is told under which number.
Outcome = Literal["acknowledged", "refused", "unknown", "taken"]

# The revision that a read saw where it was answered 410: nothing is newer than a deletion.
GONE = 2**63

# A loss of memory that is not only one.
TWO_PRIMARIES = "two primaries"


class Act(msgspec.Struct, eq=False):
    """One request. Its outcome is unknown (5xx, time-out, killed) until it is set.

    `texts` are a title of a chat, the bodies of a post, the new body of an edit; no two operations
    have a text in common. `number` is the message of an edit or a deletion. `ended` is None while no
    answer was seen, and for ever where none came: such a request may still be running. `replaced` says
    when its secret key was replaced, where it was not valid any more.
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
        """Requests with the same Idempotency-Key are one operation; without one each is its own."""
        return (self.token, self.began if self.key is None else self.key)

    def __str__(self) -> str:
        where = "" if self.chat is None else f" in chat {self.chat}"
        what = "" if self.number is None else f" of {self.number}"
        key = "" if self.key is None else f", key {self.key}"
        return f"{self.client}'s {self.kind}{what}{where} {'/'.join(self.texts)!r}{key}"


class Read(msgspec.Struct, frozen=True):
    """What a read by number saw: a revision, `GONE`, or None where nothing was there."""

    client: str
    token: str
    chat: int
    number: int
    revision: int | None
    began: int
    ended: int


class Copy(msgspec.Struct, eq=False):
    """What somebody holds who follows the changes of a chat: each message as it was told last.

    A state is a revision and a text, which is None where the message is deleted. `since` is from where
    it goes on; `backwards` are messages that were told in an older state than before.
    """

    client: str
    token: str
    chat: int
    since: str = "0"
    states: dict[int, tuple[int, str | None]] = {}
    backwards: list[str] = []


class Span(msgspec.Struct, frozen=True):
    """Two positions, between which something happened."""

    began: int
    ended: int


class Told(msgspec.Struct, frozen=True):
    """A read marker and the unread count, as a user was told them."""

    user: str
    token: str
    chat: int
    number: int
    unread: int
    began: int
    ended: int


class Loss(msgspec.Struct, eq=False):
    """Redis lost memory. One that lasts (two primaries) has no end until it is over."""

    what: str
    began: int
    ended: int | None

    def touches(self, began: int, ended: int | None) -> bool:
        """Whether it happened, for a part at least, between two positions."""
        return (ended is None or self.began <= ended) and (
            self.ended is None or began <= self.ended
        )


class History:
    """`begin` a request before it is sent, then `acknowledge` or `refuse` it, or leave it unknown."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.reads: list[Read] = []
        self.told: list[Told] = []
        self.copies: dict[tuple[str, str, int], Copy] = {}
        self.losses: list[Loss] = []
        self._positions = count(1)
        self._lock = Lock()

    def now(self) -> int:
        """The next position; take it before a read is sent."""
        with self._lock:
            return next(self._positions)

    def begin(
        self,
        client: str,
        kind: Kind,
        token: str,
        chat: int | None = None,
        *,
        number: int | None = None,
        texts: tuple[str, ...] = (),
        key: str | None = None,
    ) -> Act:
        """Note a request that is about to be sent. Each try of it is one of its own."""
        with self._lock:
            act = Act(client, kind, token, chat, number, texts, key, next(self._positions))
            self.acts.append(act)
        return act

    def acknowledge(
        self, act: Act, first: int | None, last: int | None, revision: int | None
    ) -> None:
        """It was answered 202: the numbers given, or the number changed; None where it was not told."""
        with self._lock:
            act.outcome, act.ended = "acknowledged", next(self._positions)
            act.first, act.last, act.revision = first, last, revision

    def take(self, act: Act) -> None:
        """The inbox queue took it."""
        with self._lock:
            act.outcome = "taken"

    def refuse(self, act: Act) -> None:
        """It was answered 4xx."""
        with self._lock:
            act.outcome, act.ended = "refused", next(self._positions)

    def read(
        self, began: int, client: str, token: str, chat: int, number: int, revision: int | None
    ) -> None:
        """A read that was sent at `began` was answered."""
        with self._lock:
            ended = next(self._positions)
            self.reads.append(Read(client, token, chat, number, revision, began, ended))

    def marked(
        self, began: int, user: str, token: str, chat: int, number: int, unread: int
    ) -> None:
        """A user's read marker that was moved, or asked for, at `began`, was answered."""
        with self._lock:
            ended = next(self._positions)
            self.told.append(Told(user, token, chat, number, unread, began, ended))

    def copy(self, client: str, token: str, chat: int) -> Copy:
        """The client's copy of a chat, empty at first."""
        with self._lock:
            return self.copies.setdefault((client, token, chat), Copy(client, token, chat))

    def followed(
        self,
        copy: Copy,
        asked_since: str,
        changes: Iterable[tuple[int, int, str | None]],
        since: str,
    ) -> None:
        """Changes (number, revision, text) were told; not to a copy that has gone on in between."""
        with self._lock:
            if copy.since != asked_since:
                return
            for number, revision, text in changes:
                before, _ = copy.states.get(number, (0, None))
                if revision < before:
                    copy.backwards.append(f"{number} at {revision} after {before}")
                copy.states[number] = (revision, text)
            copy.since = since

    def lost(self, what: str, *, lasting: bool = False) -> Loss:
        """Redis loses memory now, or, where that lasts, from now on until `over`.

        A moment that is not known exactly (a server is killed and comes back) is a loss that lasts.
        """
        with self._lock:
            now = next(self._positions)
            loss = Loss(what, now, None if lasting else now)
            self.losses.append(loss)
        return loss

    def over(self, loss: Loss) -> None:
        with self._lock:
            loss.ended = next(self._positions)

    def lost_between(self, began: int, ended: int | None) -> bool:
        """Whether memory was lost between two positions; None is the end of time."""
        return any(loss.touches(began, ended) for loss in self.losses)
