"""MySQL against OpenSearch: two walks in the same order, a slice of each at a time.

What differs at the first look is looked at again, since everything goes on meanwhile. While records wait
in the queues, what the index lacks may be under way; once they were empty before a look, it is not.
"""

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from chalicelib.adapters.mysql.database import NO_LIMIT
from chalicelib.operators.index_reader import IndexedChat, IndexReader
from chalicelib.operators.scan import Chunk, MessageScanner, ScanPosition

# Of so many the first revision is remembered; of what is more, only the slice.
MAX_CANDIDATES = 10_000
MOST_EXAMPLES = 20
LOOK_EVERY_SECONDS = 0.5
RECHECK_SECONDS = 15.0
MISSING, OLDER, NEWER, ONLY = "missing", "older", "newer", "only"

Revisions = dict[tuple[int, int], int]  # by chat and message
Kinds = dict[tuple[int, int], str]


class Suspect(msgspec.Struct, frozen=True):
    """A slice that differed, and what did, with the revision that MySQL had (0: none).

    Without that, every message of the slice is suspected.
    """

    slice: Chunk
    wanted: Revisions | None


class IndexVerdict(msgspec.Struct, frozen=True):
    """How many messages MySQL has, and how many differ for good or only for now, by kind."""

    messages: int
    lasting: Counter[str]
    under_way: Counter[str]
    examples: list[str]


class IndexCheck:
    """One comparison. `queued` says how many records are waiting or being worked off."""

    def __init__(
        self,
        scanner: MessageScanner,
        contents: IndexReader,
        queued: Callable[[], int],
        seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._walk, self._contents, self._queued = scanner, contents, queued
        self._seconds = seconds
        self._messages = 0
        self._suspects: list[Suspect] = []
        self._kept = 0
        self._lasting: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self._examples: list[str] = []

    def run(self, only: str | None = None) -> IndexVerdict:
        """Compare one application, or all."""
        self._contents.refresh()
        for chunk in self._walk.chunks(ScanPosition(only or ""), only):
            self._look(chunk)
        self._look_again()
        self._strangers(only)
        return IndexVerdict(self._messages, self._lasting, self._under_way, self._examples)

    def _look(self, chunk: Chunk) -> None:
        stored = self._walk.revisions(chunk)
        self._messages += len(stored)
        indexed = self._contents.revisions(chunk)
        if stored == indexed:
            return
        kinds = _differing(stored, indexed)
        wanted = {key: stored.get(key, 0) for key in kinds}
        self._kept += len(kinds)
        self._suspects.append(Suspect(chunk, wanted if self._kept <= MAX_CANDIDATES else None))

    def _look_again(self) -> None:
        """Until nothing differs, or what differs does so for good."""
        until = time.monotonic() + self._seconds
        suspects = self._suspects
        while suspects:
            idle = not self._queued()
            self._contents.refresh()
            looks = [(suspect, self._still(suspect)) for suspect in suspects]
            kinds = {kind for _, still in looks for kind in still.values()}
            if idle or not kinds & {MISSING, OLDER} or time.monotonic() > until:
                for suspect, still in looks:
                    self._count_all(suspect, still, idle)
                return
            suspects = [suspect for suspect, still in looks if still]
            time.sleep(LOOK_EVERY_SECONDS)

    def _count_all(self, suspect: Suspect, still: Kinds, idle: bool) -> None:
        for (chat, number), kind in sorted(still.items()):
            where = f"{suspect.slice.token} chat {chat} message {number}"
            self._count(kind, 1, idle or kind in (NEWER, ONLY), where)

    def _still(self, suspect: Suspect) -> Kinds:
        """What differs now as well. The index is read first: what it has then, MySQL has had before."""
        chunk = suspect.slice
        indexed = self._contents.revisions(chunk)
        stored = self._walk.revisions(chunk)
        live = self._walk.last_numbers([(chunk.token, chat) for chat, _ in chunk.chats])
        wanted = suspect.wanted
        found: Kinds = {}
        for key in wanted if wanted is not None else stored.keys() | indexed.keys():
            have, now = indexed.get(key, 0), stored.get(key, 0)
            want = now if wanted is None else min(wanted[key], now)
            if (chunk.token, key[0]) not in live:
                continue
            if have > now:
                found[key] = NEWER if now else ONLY
            elif have < want:
                found[key] = OLDER if have else MISSING
        return found

    def _strangers(self, only: str | None) -> None:
        """Chats that MySQL does not have, and messages beyond the last one that it has."""
        for page in self._contents.chats(only):
            live = self._walk.last_numbers([chat.key for chat in page])
            gone = [chat for chat in page if chat.key not in live]
            leaving = self._walk.leaving([chat.key for chat in gone])
            for chat in gone:
                self._gone(chat, chat.key in leaving)
            for chat in page:
                if chat.key in live and chat.last > live[chat.key]:
                    self._beyond_last(chat, live[chat.key])

    def _gone(self, chat: IndexedChat, leaving: bool) -> None:
        token, number = chat.key
        idle = not self._queued()
        self._contents.refresh()
        all_of_it = Chunk(token, ((number, 0),), 0, NO_LIMIT)
        if count := len(self._contents.revisions(all_of_it)):
            self._count(ONLY, count, idle and not leaving, f"{token} chat {number}")

    def _beyond_last(self, chat: IndexedChat, last: int) -> None:
        token, number = chat.key
        beyond = self._contents.revisions(Chunk(token, ((number, 0),), last, chat.last))
        self._count(ONLY, len(beyond), True, f"{token} chat {number}, above {last}")

    def _count(self, kind: str, count: int, for_good: bool, where: str = "") -> None:
        (self._lasting if for_good else self._under_way)[kind] += count
        if where and for_good and len(self._examples) < MOST_EXAMPLES:
            self._examples.append(f"{kind}: {where}")


def _differing(stored: Revisions, indexed: Revisions) -> Kinds:
    """How the index differs from what is stored, by message."""
    found: Kinds = {}
    for key in stored.keys() | indexed.keys():
        want, have = stored.get(key, 0), indexed.get(key, 0)
        if have > want:
            found[key] = NEWER if want else ONLY
        elif have < want:
            found[key] = OLDER if have else MISSING
    return found
