"""MySQL against OpenSearch: two scans in the same order, a chunk at a time.

A chunk that differs is compared again later, because writes go on. As long as records wait in the queues,
a difference may be temporary: the workers will index the document. A document that is still missing after
the queues were empty is missing permanently.
"""

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from chalicelib.adapters.mysql.database import NO_LIMIT
from chalicelib.domain.models import AppToken, ChatNumber
from chalicelib.operators.index_reader import IndexedChat, IndexReader
from chalicelib.operators.scan import Chunk, MessageScanner, ScanPosition

# The first revision is stored for so many messages. A chunk after them is compared as a whole.
MAX_CANDIDATES = 10_000
MAX_EXAMPLES = 20
RECHECK_SECONDS = 15.0
_RECHECK_PAUSE_SECONDS = 0.5
MISSING, OLDER, NEWER, ONLY = "missing", "older", "newer", "only"

Revisions = dict[tuple[int, int], int]  # by chat and message
Kinds = dict[tuple[int, int], str]


class Candidate(msgspec.Struct, frozen=True):
    """A chunk that differed, and the revisions that MySQL had of the messages that did (0: none).

    If `wanted` is None, each message of the chunk is compared again.
    """

    chunk: Chunk
    wanted: Revisions | None


class IndexReport(msgspec.Struct, frozen=True):
    """How many messages MySQL has, and how many differ permanently or temporarily, by kind."""

    messages: int
    permanent: Counter[str]
    temporary: Counter[str]
    examples: list[str]


class IndexCheck:
    """One comparison. `queued` returns how many records wait in the queues or are in work."""

    def __init__(
        self,
        scanner: MessageScanner,
        reader: IndexReader,
        queued: Callable[[], int],
        seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._scanner, self._reader, self._queued = scanner, reader, queued
        self._seconds = seconds
        self._messages = 0
        self._candidates: list[Candidate] = []
        self._stored_candidates = 0
        self._permanent: Counter[str] = Counter()
        self._temporary: Counter[str] = Counter()
        self._examples: list[str] = []

    def run(self, only: AppToken | None = None) -> IndexReport:
        """Compare one application, or all."""
        self._reader.refresh()
        for chunk in self._scanner.chunks(ScanPosition(only or AppToken("")), only):
            self._compare(chunk)
        self._recheck_candidates()
        self._count_unexpected_chats(only)
        return IndexReport(self._messages, self._permanent, self._temporary, self._examples)

    def _compare(self, chunk: Chunk) -> None:
        stored = self._scanner.revisions(chunk)
        self._messages += len(stored)
        indexed = self._reader.revisions(chunk)
        if stored == indexed:
            return
        kinds = _differences(stored, indexed)
        wanted = {key: stored.get(key, 0) for key in kinds}
        self._stored_candidates += len(kinds)
        fits = self._stored_candidates <= MAX_CANDIDATES
        self._candidates.append(Candidate(chunk, wanted if fits else None))

    def _recheck_candidates(self) -> None:
        """Compare again until nothing differs, or until what differs does so permanently."""
        until = time.monotonic() + self._seconds
        candidates = self._candidates
        while candidates:
            idle = not self._queued()
            self._reader.refresh()
            results = [(candidate, self._recheck(candidate)) for candidate in candidates]
            kinds = {kind for _, result in results for kind in result.values()}
            if idle or not kinds & {MISSING, OLDER} or time.monotonic() > until:
                for candidate, result in results:
                    self._count_all(candidate, result, idle)
                return
            candidates = [candidate for candidate, result in results if result]
            time.sleep(_RECHECK_PAUSE_SECONDS)

    def _count_all(self, candidate: Candidate, kinds: Kinds, idle: bool) -> None:
        for (chat, number), kind in sorted(kinds.items()):
            example = f"{candidate.chunk.token} chat {chat} message {number}"
            self._count(kind, 1, idle or kind in (NEWER, ONLY), example)

    def _recheck(self, candidate: Candidate) -> Kinds:
        """What differs now as well. The index is read first: MySQL has had what the index has then."""
        chunk = candidate.chunk
        indexed = self._reader.revisions(chunk)
        stored = self._scanner.revisions(chunk)
        live = self._scanner.last_numbers(
            [(chunk.token, ChatNumber(chat)) for chat, _ in chunk.chats]
        )
        wanted = candidate.wanted
        kinds: Kinds = {}
        for key in wanted if wanted is not None else stored.keys() | indexed.keys():
            have, now = indexed.get(key, 0), stored.get(key, 0)
            want = now if wanted is None else min(wanted[key], now)
            if (chunk.token, key[0]) not in live:
                continue
            if have > now:
                kinds[key] = NEWER if now else ONLY
            elif have < want:
                kinds[key] = OLDER if have else MISSING
        return kinds

    def _count_unexpected_chats(self, only: AppToken | None) -> None:
        """Chats that MySQL does not have, and messages above the last one that MySQL has."""
        for page in self._reader.chats(only):
            live = self._scanner.last_numbers([chat.key for chat in page])
            unknown = [chat for chat in page if chat.key not in live]
            pending_purge = self._scanner.pending_purge([chat.key for chat in unknown])
            for chat in unknown:
                self._count_unknown_chat(chat, chat.key in pending_purge)
            for chat in page:
                if chat.key in live and chat.last > live[chat.key]:
                    self._count_above_last(chat, live[chat.key])

    def _count_unknown_chat(self, chat: IndexedChat, pending_purge: bool) -> None:
        token, number = chat.key
        idle = not self._queued()
        self._reader.refresh()
        whole_chat = Chunk(token, ((number, 0),), 0, NO_LIMIT)
        if count := len(self._reader.revisions(whole_chat)):
            self._count(ONLY, count, idle and not pending_purge, f"{token} chat {number}")

    def _count_above_last(self, chat: IndexedChat, last: int) -> None:
        token, number = chat.key
        revisions = self._reader.revisions(Chunk(token, ((number, 0),), last, chat.last))
        self._count(ONLY, len(revisions), True, f"{token} chat {number}, above {last}")

    def _count(self, kind: str, count: int, permanent: bool, example: str) -> None:
        (self._permanent if permanent else self._temporary)[kind] += count
        if permanent and len(self._examples) < MAX_EXAMPLES:
            self._examples.append(f"{kind}: {example}")


def _differences(stored: Revisions, indexed: Revisions) -> Kinds:
    """How the index differs from MySQL, by message."""
    kinds: Kinds = {}
    for key in stored.keys() | indexed.keys():
        want, have = stored.get(key, 0), indexed.get(key, 0)
        if have > want:
            kinds[key] = NEWER if want else ONLY
        elif have < want:
            kinds[key] = OLDER if have else MISSING
    return kinds
