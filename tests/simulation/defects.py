"""Known defects, planted one at a time, and how many runs it takes until a promise is broken.

`python -m tests.simulation.defects` prints the table.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenlet import getcurrent

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Change, Changes, Since
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter, PersistedMessages
from chalicelib.domain.models import AppToken, ChatNumber, ChatRow, Epoch, Lease, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import Document, MessagesRecord, RefusedDocument
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnreadCount
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import list_changes, read_pending
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.search_index import FakeSearchIndex
from tests.fakes.store import FakeStore
from tests.simulation.__main__ import disable_logging
from tests.simulation.plan import plan_of
from tests.simulation.queues import SimulatedQueues
from tests.simulation.run import Outcome, run
from tests.simulation.simulation import Components


def _script(name: str, old: str, new: str) -> Components:
    """Replace a piece of one script, or of the common part of all. Fails if the script has no such piece."""

    def change(script: str, text: str) -> str:
        if name not in ("common", script):
            return text
        assert old in text, f"{name}.lua has no {old!r}"
        return text.replace(old, new)

    scripts = LuaScripts(change)
    return Components(scripts=lambda: scripts)


class _CountsAfterCommit(FakeStore):
    """Counts messages after the commit. A worker that is killed in between leaves a wrong count."""

    def __init__(self) -> None:
        super().__init__()
        self._counted: dict[tuple[AppToken, ChatNumber], int] = {}

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        chats = {(record.token, record.chat) for record in records}
        before = {chat: self._live(chat) for chat in chats}
        persisted = super().persist_messages(records, window)
        new = {chat: self._live(chat) - before[chat] for chat in chats}
        _pause_transaction()
        for chat in sorted(chats):
            self._counted[chat] = self._counted.get(chat, 0) + new[chat]
        return persisted

    def get_chat(self, token: AppToken, number: ChatNumber) -> ChatRow | None:
        row = super().get_chat(token, number)
        if row is None:
            return None
        return ChatRow(
            chat=row.chat,
            messages_count=self._counted.get((token, number), 0),
            last_message_number=row.last_message_number,
        )

    def _live(self, chat: tuple[AppToken, ChatNumber]) -> int:
        row = super().get_chat(*chat)
        return row.messages_count if row else 0


class _GrantsFromHighest(FakeStore):
    """Grants a lease above the highest stored number."""

    def acquire_lease(self, counter: Any, *args: Any) -> Any:
        if numbering := self._numbering(counter):
            numbering[0].ceiling = max(numbering[1], default=0)
        return super().acquire_lease(counter, *args)


class _ExtendsForAnybody(FakeStore):
    """Extends a lease for every caller."""

    def extend_lease(self, counter: Any, lease: Lease, *args: Any) -> Lease | None:
        if numbering := self._numbering(counter):
            numbering[0].holder, numbering[0].epoch = lease.holder, lease.epoch
        return super().extend_lease(counter, lease, *args)


class _RefusesAtTheFirstCeiling(FakeStore):
    """Extends a lease only if the counter has a row."""

    def extend_lease(self, counter: Any, *args: Any) -> Lease | None:
        if self._numbering(counter) is None:
            raise UnavailableError("the chat is not persisted yet")
        return super().extend_lease(counter, *args)


class _StubsWithoutLease(FakeStore):
    """Creates stubs that do not have the lease of their messages."""

    def _create_stub(self, application: Any, number: ChatNumber, lease: Lease, *args: Any) -> Any:
        return super()._create_stub(application, number, Lease("", Epoch(0), 0), *args)


class _LastWins(FakeStore):
    """Stores the last version that arrives, whatever its revision."""

    def _persist_message(self, record: MessagesRecord, message: Any) -> int:
        if chat := self._open_chat(record.token, record.chat):
            chat.messages.pop(message.number, None)
        return super()._persist_message(record, message)


class _OrdersByRevision(FakeStore):
    """The change feed is ordered by revision, and continues after the last revision."""

    def list_changes(
        self, token: AppToken, chat: ChatNumber, since: Since, limit: int
    ) -> list[Change]:
        changes = super().list_changes(token, chat, Since(), 1_000_000)
        by_revision = [Change(c.message.revision, c.message) for c in changes]
        by_revision.sort(key=lambda change: change.position)
        return [change for change in by_revision if change.position > since.position][:limit]


class _MovesMarkersBack(FakeStore):
    """Stores the last read marker that arrives."""

    def mark_read(self, token: AppToken, user: str, marker: ReadMarker, pending_last: int) -> None:
        if application := self._alive(token):
            application.readers.pop((user, marker.chat), None)
        super().mark_read(token, user, marker, pending_last)


class _CountsNumbers(FakeStore):
    """Counts all numbers above the marker as unread, even if the message was deleted."""

    def count_unread(
        self,
        token: AppToken,
        markers: Sequence[ReadMarker],
        unpersisted: Mapping[ChatNumber, UnpersistedChat],
    ) -> list[UnreadCount]:
        counts = super().count_unread(token, markers, unpersisted)
        return [UnreadCount(r.chat, r.number, r.last - r.number, r.last) for r in counts]


_LONG_TRANSACTION_SLICES = 40


def _pause_transaction() -> None:
    """Let other processes run in the middle of a call."""
    if parent := getcurrent().parent:
        for _ in range(_LONG_TRANSACTION_SLICES):
            parent.switch()


class _EarlyPositions(FakeStore):
    """Takes positions before the commit, as an AUTO_INCREMENT column does."""

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        taken: dict[tuple[AppToken, ChatNumber], tuple[int, int]] = {}
        for chat_key in {(record.token, record.chat) for record in records}:
            if chat := self._open_chat(*chat_key):
                first = chat.last_position
                chat.last_position += sum(len(record.messages) for record in records)
                taken[chat_key] = (first, chat.last_position)
        _pause_transaction()
        for chat_key, (first, _) in taken.items():
            if chat := self._open_chat(*chat_key):
                chat.last_position = first
        persisted = super().persist_messages(records, window)
        for chat_key, (_, last) in taken.items():
            if chat := self._open_chat(*chat_key):
                chat.last_position = max([last, *chat.positions.values()])
        return persisted


def _list_changes_with_pending(
    ports: Ports, tenant: Tenant, chat: ChatNumber, since: Since, limit: int
) -> Result[Changes]:
    """The change feed also brings pending versions."""
    pending_page = read_pending(
        ports, tenant, Counter(tenant.token, chat), PageRequest(limit=1_000)
    )
    stored = ports.store.messages.list_changes(tenant.token, chat, Since(), 1_000_000)
    revisions = {change.message.number: change.message.revision for change in stored}
    pending = [
        Change(0, entry.version)
        for entry in pending_page.pending
        if isinstance(entry.version, Message)
        and entry.version.revision > revisions.get(entry.version.number, 0)
    ]
    changes = list_changes(ports, tenant, chat, since, limit).value
    return Result(Changes((*changes.items, *pending), changes.since, changes.more))


class _IndexesLast(FakeSearchIndex):
    """Indexes the last version that arrives, whatever its revision."""

    def index(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        for document in documents:
            self.documents.pop((document.token, document.chat, document.message.number), None)
        return super().index(documents)


class _DeletesOnReceive(SimulatedQueues):
    """Deletes a record as soon as it is received."""

    def receive(self, queue: str, *args: Any) -> Any:
        received = super().receive(queue, *args)
        self.delete(queue, [item.id for item in received])
        return received


DEFECTS: dict[str, Callable[[], Components]] = {
    "any incarnation issues last + 1": lambda: _script(
        "common", "if holder == me then", "if holder then"
    ),
    "a releasing lease issues numbers": lambda: _script(
        "common", "if releasing then", "if false then"
    ),
    "a lease is installed whatever the nonce": lambda: _script(
        "install_lease", "not attempt or attempt.nonce ~= ARGV[1]", "false"
    ),
    "a lease is extended for anybody": lambda: Components(store=_ExtendsForAnybody),
    "a lease starts at MAX(number)": lambda: Components(store=_GrantsFromHighest),
    "acknowledging drops newer edits": lambda: _script(
        "acknowledge", "entry_revision(entry) <= tonumber(ARGV[i + 1])", "true"
    ),
    "an edit ignores other edits": lambda: _script(
        "edit", "edited_since(tonumber(ARGV[16]))", "false"
    ),
    "an edit drops a chat's first lease": lambda: _script(
        "edit", "entry and string.match(entry, FIRST_LEASE) or '}'", "'}'"
    ),
    "a post stores no idempotency key": lambda: _script(
        "accept", "if idempotency_key then", "if false then"
    ),
    "an edit stores no idempotency key": lambda: _script(
        "edit", "if idempotency_key then", "if false then"
    ),
    "the last version wins in the store": lambda: Components(store=_LastWins),
    "records are deleted before the commit": lambda: Components(queues=_DeletesOnReceive),
    "a page does not end at the last number": lambda: _script(
        "read_pending", "holder == me and last or ''", "''"
    ),
    "a new chat is refused at its first ceiling": lambda: Components(
        store=_RefusesAtTheFirstCeiling
    ),
    "a stub has no lease": lambda: Components(store=_StubsWithoutLease),
    "counts change after the commit": lambda: Components(store=_CountsAfterCommit),
    "changes are ordered by revision": lambda: Components(store=_OrdersByRevision),
    "positions are taken before the commit": lambda: Components(store=_EarlyPositions),
    "changes include pending versions": lambda: Components(list_changes=_list_changes_with_pending),
    "a read marker moves back": lambda: Components(store=_MovesMarkersBack),
    "deleted messages are unread": lambda: Components(store=_CountsNumbers),
    "any incarnation trusts cached keys": lambda: _script(
        "common", "if cached_by ~= me then", "if not cached_by then"
    ),
    "a late read of the keys is cached": lambda: _script(
        "cache_application", " or loading_nonce ~= ARGV[2]", ""
    ),
    "the index ignores revisions": lambda: Components(index=_IndexesLast),
}


def seeds_until_caught(name: str, most: int, seconds: float) -> tuple[int, Outcome] | None:
    """How many runs it takes, and the run that catches the defect; None if no run does in time."""
    components, deadline = DEFECTS[name](), time.monotonic() + seconds
    for seed in range(most):
        if time.monotonic() > deadline:
            return None
        outcome = run(plan_of(seed), components)
        if outcome.broken:
            return seed + 1, outcome
    return None


def main() -> int:
    """0 if every defect is caught."""
    disable_logging()
    missed = 0
    for name in DEFECTS:
        caught = seeds_until_caught(name, most=10_000, seconds=120)
        runs, violation = (caught[0], caught[1].broken[0]) if caught else ("never", "")
        missed += not caught
        print(f"{name:<40} {runs!s:>6}  {violation[:100]}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
