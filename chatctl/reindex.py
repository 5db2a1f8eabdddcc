"""Building the search index anew from MySQL, while everything goes on.

What is copied is everything that MySQL has, deleted messages too: their marks keep a late, older state
from bringing them back. What comes while it is copied is indexed by the workers, into the old index
before the swap and into the new one behind it, and is brought over from the old one. Whatever was deleted
whole in the meantime is removed, because MySQL says so.
"""

from collections.abc import Callable

from chalicelib.adapters.opensearch.index import OpenSearchIndex, Refused
from chalicelib.adapters.opensearch.mapping import ALIAS
from chalicelib.operators.index_reader import IndexReader
from chalicelib.operators.index_swap import Reindex
from chalicelib.operators.scan import MessageScanner
from chatctl.failures import ChatctlError

LOCK = "reindex"
# Fewer than this are brought over faster than as many come anew.
FEW_DOCUMENTS = 500

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class Rebuild:
    """One run. `progress` hears how many are copied, of about how many."""

    def __init__(
        self,
        scanner: MessageScanner,
        opensearch_url: str,
        say: Say,
        progress: Progress,
        alias: str = ALIAS,
    ) -> None:
        self._walk = scanner
        self._reindex = Reindex(opensearch_url, alias)
        self._contents = IndexReader(opensearch_url, self._reindex.filling)
        self._index = OpenSearchIndex(opensearch_url, self._reindex.filling)
        self._say, self._progress = say, progress
        self.refused: Refused = []

    @property
    def copied(self) -> int:
        return self._reindex.state.copied

    def run(self) -> None:
        """Raises `ChatctlError` where another one is running. Killed, it goes on when it is run again."""
        if not self._walk.take_lock(LOCK):
            raise ChatctlError("another reindex is running")
        again = self._reindex.open()
        self._say(f"{'going on with' if again else 'filling'} {self._reindex.index}")
        if not self._reindex.swapped:
            self._copy()
            while (brought := self._reindex.catch_up()) >= FEW_DOCUMENTS:
                self._say(f"{brought:,} that came in the meantime brought over")
            self._remove_deleted()
            self._walk.check_lock(LOCK)
        self._reindex.swap()
        self._say(f"{self._reindex.index} is in use now")
        self._reindex.catch_up()
        self._remove_deleted()
        self._walk.check_lock(LOCK)
        self._reindex.finish()

    def _copy(self) -> None:
        if self._reindex.state.walked:
            return
        expected = self._walk.expected()
        for chunk in self._walk.chunks(self._reindex.state.position):
            documents = self._walk.documents(chunk)
            self.refused += self._reindex.fill(documents)
            self._walk.check_lock(LOCK)
            self._reindex.note(position=chunk.end, copied=self.copied + len(documents))
            self._progress(self.copied, expected)
        self._reindex.note(walked=True)

    def _remove_deleted(self) -> None:
        """Before the swap, so that no search finds it; and after it, for what was deleted in between.

        What is deleted later is removed by the workers: they use the new index then.
        """
        self._contents.refresh()
        for page in self._contents.chats():
            keys = [chat.key for chat in page]
            live = self._walk.last_numbers(keys)
            for token, chat in keys:
                if (token, chat) not in live:
                    self._index.purge(token, chat)
