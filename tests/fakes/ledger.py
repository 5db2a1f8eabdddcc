"""The ledger in memory: what the scripts in `chalicelib/adapters/redis` do, held to the same suite."""

import secrets
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.redis.ledger import (
    MOST_PENDING_OF_APPLICATION,
    MOST_PENDING_OF_COUNTER,
    OVERDUE_AFTER_MS,
)
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.limits import IDEMPOTENCY_KEY_KEPT_SECONDS
from chalicelib.domain.numbering import (
    Accepted,
    Begun,
    Counter,
    IdempotencyMark,
    Look,
    Need,
    NeedApplication,
    NeedBegin,
    NeedRaise,
    NeedWait,
    Page,
)
from chalicelib.domain.records import Chat, Lease, Message, Pending
from chalicelib.usecases.ports import Clock

_NONCE_LIFE_MS = 5_000


class _Held(msgspec.Struct):
    last: int
    ceiling: int
    holder: str | None
    epoch: int
    revision: int = 0
    edits: int = 0


class FakeLedger:
    """One Redis memory. `wipe` empties it as FLUSHALL does; `restart` makes another one of its data."""

    def __init__(
        self,
        clock: Clock,
        window: int = 1000,
        most_pending_of_counter: int = MOST_PENDING_OF_COUNTER,
        most_pending_of_application: int = MOST_PENDING_OF_APPLICATION,
    ) -> None:
        self._clock = clock
        self._window = window
        self._most_pending_of_counter = most_pending_of_counter
        self._most_pending_of_application = most_pending_of_application
        self.memory = secrets.token_hex(16)
        self.wipe()

    def wipe(self) -> None:
        self.applications: dict[str, int] = {}
        self.deleted_applications: set[str] = set()
        self.counters: dict[Counter, _Held] = {}
        self.deleted_chats: set[Counter] = set()
        self.nonces: dict[Counter, tuple[str, str, int]] = {}
        self.pending: dict[Counter, dict[int, Pending]] = {}
        self.due: dict[tuple[Counter, int], int] = {}
        self.marks: dict[tuple[str, str], tuple[IdempotencyMark, Accepted, int]] = {}

    def restart(self) -> None:
        self.memory = secrets.token_hex(16)

    def ping(self) -> None:
        pass

    def accept(
        self,
        counter: Counter,
        key_version: int,
        drafts: Sequence[Message] | Sequence[Chat],
        mark: IdempotencyMark | None,
    ) -> Accepted | Need:
        if need := self._refuse(counter.token, key_version):
            return need
        now = self._clock.now_ms()
        if mark and (seen := self.marks.get((counter.token, mark.key))) and seen[2] > now:
            if seen[0].fingerprint != mark.fingerprint:
                raise KeyReusedError("reused")
            first, last = seen[1].first, seen[1].last
            left = self._entries(counter)
            pending = tuple(p for n, p in sorted(left.items()) if first <= n <= last)
            return replace(seen[1], replayed=True, pending=pending)
        self._refuse_more(counter, len(drafts))
        held = self._held(counter)
        if not isinstance(held, _Held):
            return held
        if held.last + len(drafts) > held.ceiling:
            return NeedRaise(self._lease(held))
        first, revision = held.last + 1, self._next_revision(held, len(drafts))
        held.last += len(drafts)
        for i, draft in enumerate(drafts):
            state = replace(draft, number=first + i, revision=revision + i)
            if isinstance(state, Chat):
                state = replace(state, messages_lease=Lease(self.memory, 1, self._window))
            self._keep(counter, held, state)
        accepted = Accepted(first, held.last, revision, drafts[0].created_at, self._lease(held))
        if mark:
            until = now + IDEMPOTENCY_KEY_KEPT_SECONDS * 1000
            self.marks[counter.token, mark.key] = (mark, accepted, until)
        return accepted

    def edit(
        self, counter: Counter, key_version: int, state: Message | Chat, base: int, edits: int
    ) -> Accepted | Need:
        if need := self._refuse(counter.token, key_version):
            return need
        self._refuse_more(counter, 1)
        held = self._held(counter)
        if not isinstance(held, _Held):
            return held
        entry = self._entries(counter).get(state.number)
        if entry.state.revision != base if entry else held.edits != edits:
            raise ConflictError("conflict")
        revision = self._next_revision(held, 1)
        held.edits += 1
        self._keep(counter, held, replace(state, revision=revision))
        if isinstance(state, Chat) and state.deleted_at:
            self.deleted_chats.add(Counter(counter.token, state.number))
        return Accepted(state.number, state.number, revision, state.created_at, self._lease(held))

    def look(self, counter: Counter, key_version: int, page: Page) -> Look | NeedApplication:
        if need := self._refuse(counter.token, key_version):
            return need
        held, chat = self.counters.get(counter), self._pending_chat(counter)
        if counter in self.deleted_chats or (chat and chat.deleted_at):
            raise GoneError("gone")
        found = [
            p
            for n, p in sorted(self._entries(counter).items(), reverse=not page.ascending)
            if (page.before is None or n < page.before) and (page.after is None or n > page.after)
        ]
        return Look(
            pending=tuple(found[: page.limit]),
            cut=len(found) > page.limit,
            known=held is not None or chat is not None,
            edits=held.edits if held else 0,
        )

    def remember_application(self, token: str, key_version: int) -> None:
        self.applications.setdefault(token, key_version)

    def forget_application(self, token: str) -> None:
        self.deleted_applications.add(token)

    def install_lease(self, counter: Counter, nonce: str, begun: Begun) -> bool:
        lease, left = begun.lease, self.nonces.get(counter)
        if lease.holder != self.memory or not left or left[:2] != (nonce, self.memory):
            return False
        held = self.counters.get(counter)
        if held and held.holder == self.memory and held.epoch >= lease.epoch:
            return False
        self.counters[counter] = _Held(
            begun.floor, lease.ceiling, self.memory, lease.epoch, 0, lease.epoch << 32
        )
        del self.nonces[counter]
        return True

    def release_lease(self, counter: Counter, lease: Lease) -> None:
        held = self.counters.get(counter)
        if held and (held.holder, held.epoch) == (lease.holder, lease.epoch):
            held.holder = None

    def drop_nonce(self, counter: Counter, nonce: str) -> None:
        if (left := self.nonces.get(counter)) and left[0] == nonce:
            del self.nonces[counter]

    def raise_lease(self, counter: Counter, lease: Lease) -> None:
        held = self.counters.get(counter)
        if held and (held.holder, held.epoch) == (lease.holder, lease.epoch):
            held.ceiling = max(held.ceiling, lease.ceiling)

    def settle(self, counter: Counter, revisions: dict[int, int]) -> None:
        entries = self._entries(counter)
        for number, revision in revisions.items():
            entry = entries.get(number)
            if entry is None or entry.state.revision <= revision:
                if entry and isinstance(entry.state, Chat):
                    self._first_lease(Counter(counter.token, number), entry.state)
                self.due.pop((counter, number), None)
                entries.pop(number, None)

    def overdue(self, tokens: Sequence[str], limit: int) -> list[tuple[Counter, int]]:
        now = self._clock.now_ms()
        return [
            of
            for token in tokens
            for of in [k for k, at in self.due.items() if k[0].token == token and at <= now][:limit]
        ]

    def take_overdue(self, counter: Counter, numbers: Sequence[int]) -> list[Pending]:
        entries = self._entries(counter)
        return [entries[n] for n in numbers if n in entries]

    def postpone(self, counter: Counter, due_at_ms: dict[int, int]) -> None:
        for number, at in due_at_ms.items():
            if (counter, number) in self.due:
                self.due[counter, number] = at

    def _refuse(self, token: str, key_version: int) -> NeedApplication | None:
        if token in self.deleted_applications:
            raise NotFoundError("deleted")
        if token not in self.applications:
            return NeedApplication()
        if self.applications[token] != key_version:
            raise UnauthenticatedError("key")
        return None

    def _refuse_more(self, counter: Counter, count: int) -> None:
        of_application = sum(1 for of, _ in self.due if of.token == counter.token)
        if (
            len(self._entries(counter)) + count > self._most_pending_of_counter
            or of_application + count > self._most_pending_of_application
        ):
            raise UnavailableError("full", 5)

    def _held(self, counter: Counter) -> _Held | Need:
        chat = self._pending_chat(counter)
        if counter in self.deleted_chats or (chat and chat.deleted_at):
            raise GoneError("gone")
        held = self.counters.get(counter)
        if held and held.holder == self.memory:
            return held
        if chat and (first := self._first_lease(counter, chat)):
            return first
        now, left = self._clock.now_ms(), self.nonces.get(counter)
        if left and left[1] == self.memory and left[2] > now:
            return NeedWait()
        nonce = secrets.token_hex(16)
        self.nonces[counter] = (nonce, self.memory, now + _NONCE_LIFE_MS)
        chats = self.counters.get(Counter(counter.token))
        known = chats is not None and chats.holder == self.memory
        return NeedBegin(self.memory, nonce, chats.last if chats and known else None)

    def _first_lease(self, counter: Counter, chat: Chat) -> _Held | None:
        lease = chat.messages_lease
        gone = chat.deleted_at or counter in self.deleted_chats
        if not lease or lease.holder != self.memory or gone or counter in self.counters:
            return None
        self.counters[counter] = _Held(0, lease.ceiling, self.memory, lease.epoch)
        return self.counters[counter]

    def _entries(self, counter: Counter) -> dict[int, Pending]:
        return self.pending.setdefault(counter, {})

    def _pending_chat(self, counter: Counter) -> Chat | None:
        if counter.chat is None:
            return None
        entry = self._entries(Counter(counter.token)).get(counter.chat)
        return entry.state if entry and isinstance(entry.state, Chat) else None

    def _lease(self, held: _Held) -> Lease:
        return Lease(self.memory, held.epoch, held.ceiling)

    def _next_revision(self, held: _Held, count: int) -> int:
        held.revision += count
        return (held.epoch << 32) + held.revision - count + 1

    def _keep(self, counter: Counter, held: _Held, state: Message | Chat) -> None:
        now = self._clock.now_ms()
        self._entries(counter)[state.number] = Pending(now, self._lease(held), state)
        self.due[counter, state.number] = now + OVERDUE_AFTER_MS
