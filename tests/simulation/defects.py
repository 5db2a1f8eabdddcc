"""Classic defects, planted one at a time: how many runs it takes until the promises tell of them.

`python -m tests.simulation.defects` prints the table.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenlet import getcurrent

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Change, Changes, Since
from chalicelib.domain.leases import Counter, PersistedMessages
from chalicelib.domain.models import ChatRow, Lease, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import Document, MessagesRecord
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnreadCount
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import list_changes, read_pending
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.search_index import FakeSearchIndex
from tests.fakes.store import FakeStore
from tests.simulation.__main__ import be_quiet
from tests.simulation.plan import plan_of
from tests.simulation.queues import SimulatedQueues
from tests.simulation.run import Outcome, run
from tests.simulation.simulation import Parts


def _script(name: str, old: str, new: str) -> Parts:
    """A part of a script, or of all of them, is another one. Fails where it is not there any more."""

    def change(script: str, text: str) -> str:
        if name not in ("common", script):
            return text
        assert old in text, f"{name}.lua has no {old!r}"
        return text.replace(old, new)

    scripts = LuaScripts(change)
    return Parts(scripts=lambda: scripts)


class _Counting(FakeStore):
    """Counts messages after the commit: who is killed in between leaves a wrong count."""

    def __init__(self) -> None:
        super().__init__()
        self._counted: dict[tuple[str, int], int] = {}

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        places = {(record.token, record.chat) for record in records}
        before = {place: self._live(place) for place in places}
        done = super().persist_messages(records, window)
        new = {place: self._live(place) - before[place] for place in places}
        _take_long()
        for place in sorted(places):
            self._counted[place] = self._counted.get(place, 0) + new[place]
        return done

    def get_chat(self, token: str, number: int) -> ChatRow | None:
        row = super().get_chat(token, number)
        if row is None:
            return None
        return ChatRow(
            chat=row.chat,
            messages_count=self._counted.get((token, number), 0),
            last_message_number=row.last_message_number,
        )

    def _live(self, place: tuple[str, int]) -> int:
        row = super().get_chat(*place)
        return row.messages_count if row else 0


class _FromHighest(FakeStore):
    """A lease begins above the highest number that is stored."""

    def acquire_lease(self, counter: Any, *args: Any) -> Any:
        if found := self._numbering(counter):
            found[0].ceiling = max(found[1], default=0)
        return super().acquire_lease(counter, *args)


class _RaisesAnything(FakeStore):
    """A ceiling is raised whoever asks."""

    def extend_lease(self, counter: Any, lease: Lease, window: int) -> Lease | None:
        if found := self._numbering(counter):
            found[0].holder, found[0].epoch = lease.holder, lease.epoch
        return super().extend_lease(counter, lease, window)


class _LastWins(FakeStore):
    """What comes last is stored, whatever its revision."""

    def _persist_message(self, record: MessagesRecord, message: Any) -> int:
        if chat := self._open_chat(record.token, record.chat):
            chat.messages.pop(message.number, None)
        return super()._persist_message(record, message)


class _ByRevision(FakeStore):
    """Changes are told in the order of their revisions, and go on from the last one."""

    def list_changes(self, token: str, chat: int, since: Since, limit: int) -> list[Change]:
        found = super().list_changes(token, chat, Since(), 1_000_000)
        by_revision = [Change(c.message.revision, c.message) for c in found]
        by_revision.sort(key=lambda change: change.position)
        return [change for change in by_revision if change.position > since.position][:limit]


class _MovesBack(FakeStore):
    """The last that a reader says is kept."""

    def mark_read(self, token: str, user: str, marker: ReadMarker, pending_last: int) -> None:
        if application := self._alive(token):
            application.readers.pop((user, marker.chat), None)
        super().mark_read(token, user, marker, pending_last)


class _CountsNumbers(FakeStore):
    """Unread are all numbers above the marker, whatever became of them."""

    def count_unread(
        self, token: str, markers: Sequence[ReadMarker], unpersisted: Mapping[int, UnpersistedChat]
    ) -> list[UnreadCount]:
        readings = super().count_unread(token, markers, unpersisted)
        return [UnreadCount(r.chat, r.number, r.last - r.number, r.last) for r in readings]


_LONG_TRANSACTION_SLICES = 40


def _take_long() -> None:
    """Let others run in the middle of a call."""
    if parent := getcurrent().parent:
        for _ in range(_LONG_TRANSACTION_SLICES):
            parent.switch()


class _EarlyPositions(FakeStore):
    """Positions are taken before the commit, as an AUTO_INCREMENT takes them."""

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        taken: dict[tuple[str, int], tuple[int, int]] = {}
        for place in {(record.token, record.chat) for record in records}:
            if chat := self._open_chat(*place):
                first = chat.last_position
                chat.last_position += sum(len(record.messages) for record in records)
                taken[place] = (first, chat.last_position)
        _take_long()
        for place, (first, _) in taken.items():
            if chat := self._open_chat(*place):
                chat.last_position = first
        done = super().persist_messages(records, window)
        for place, (_, last) in taken.items():
            if chat := self._open_chat(*place):
                chat.last_position = max([last, *chat.positions.values()])
        return done


def _with_pending(ports: Ports, tenant: Tenant, chat: int, since: Since, limit: int) -> Changes:
    """What is only pending is told as well."""
    pending_page = read_pending(
        ports, tenant, Counter(tenant.token, chat), PageRequest(limit=1_000)
    )
    stored = ports.store.messages.list_changes(tenant.token, chat, Since(), 1_000_000)
    revisions = {change.message.number: change.message.revision for change in stored}
    pending = [
        Change(0, entry.state)
        for entry in pending_page.pending
        if isinstance(entry.state, Message)
        and entry.state.revision > revisions.get(entry.state.number, 0)
    ]
    changes = list_changes(ports, tenant, chat, since, limit)
    return Changes((*changes.items, *pending), changes.since, changes.more)


class _WithoutVersions(FakeSearchIndex):
    """What comes last is indexed."""

    def index(self, documents: Sequence[Document]) -> list[tuple[Document, str]]:
        for document in documents:
            self.documents.pop((document.token, document.chat, document.message.number), None)
        return super().index(documents)


class _Forgetful(SimulatedQueues):
    """A record is gone as soon as it is received."""

    def receive(self, queue: str, *args: Any) -> Any:
        received = super().receive(queue, *args)
        self.done(queue, [item.id for item in received])
        return received


DEFECTS: dict[str, Callable[[], Parts]] = {
    "any memory hands out last + 1": lambda: _script(
        "common", "if c[3] == me then", "if c[3] then"
    ),
    "a closing lease hands out numbers": lambda: _script("common", "if c[7] then", "if false then"),
    "a lease is installed whatever the nonce": lambda: _script(
        "install_lease", "not left or left.nonce ~= ARGV[1]", "false"
    ),
    "a lease is raised for anybody": lambda: Parts(store=_RaisesAnything),
    "a lease begins at MAX(number)": lambda: Parts(store=_FromHighest),
    "settling drops newer edits": lambda: _script(
        "acknowledge", "entry_revision(entry) <= tonumber(ARGV[i + 1])", "true"
    ),
    "an edit does not look for others": lambda: _script("edit", "~= ARGV[16]", "== 'never'"),
    "an edit drops a chat's first lease": lambda: _script(
        "edit", "entry and string.match(entry, FIRST_LEASE) or '}'", "'}'"
    ),
    "a post leaves no mark": lambda: _script("accept", "if idempotency_key then", "if false then"),
    "an edit leaves no mark": lambda: _script("edit", "if idempotency_key then", "if false then"),
    "the last state wins in the store": lambda: Parts(store=_LastWins),
    "records are deleted before the commit": lambda: Parts(queues=_Forgetful),
    "counts are made after the commit": lambda: Parts(store=_Counting),
    "changes go by their revisions": lambda: Parts(store=_ByRevision),
    "positions are taken before the commit": lambda: Parts(store=_EarlyPositions),
    "changes tell what is pending": lambda: Parts(list_changes=_with_pending),
    "a read marker moves back": lambda: Parts(store=_MovesBack),
    "deleted messages are unread": lambda: Parts(store=_CountsNumbers),
    "any memory knows the keys": lambda: _script(
        "common", "if app[2] ~= me then", "if not app[2] then"
    ),
    "who reads the keys late is believed": lambda: _script(
        "cache_application", " or app[3] ~= ARGV[2]", ""
    ),
    "the index has no versions": lambda: Parts(index=_WithoutVersions),
}


def seeds_until_caught(name: str, most: int, seconds: float) -> tuple[int, Outcome] | None:
    """How many runs it takes, and the one that tells; None where no run does in time."""
    parts, until = DEFECTS[name](), time.monotonic() + seconds
    for seed in range(most):
        if time.monotonic() > until:
            return None
        outcome = run(plan_of(seed), parts)
        if outcome.broken:
            return seed + 1, outcome
    return None


def main() -> int:
    """0 where each is caught."""
    be_quiet()
    missed = 0
    for name in DEFECTS:
        caught = seeds_until_caught(name, most=10_000, seconds=120)
        runs, said = (caught[0], caught[1].broken[0]) if caught else ("never", "")
        missed += not caught
        print(f"{name:<40} {runs!s:>6}  {said[:100]}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
