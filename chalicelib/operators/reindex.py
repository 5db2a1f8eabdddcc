"""Build a new search index from MySQL, while the service runs.

1. Copy everything that MySQL has, deleted messages too: a deleted message must be newer than any late
   version of it, or the late version would bring the message back.
2. Copy what the workers indexed into the old index since the start. Repeat until it is little.
3. Remove chats and applications that were deleted since the start, as MySQL says.
4. Swap the alias, and repeat 2 and 3 for what came in between.

The progress is stored in the new index: a reindex that was killed continues when it is run again.
"""

from collections.abc import Callable

from chalicelib.adapters.opensearch.index import ALIAS, OpenSearchIndex
from chalicelib.domain.queue_records import RefusedDocument
from chalicelib.operators.errors import ReindexRunningError
from chalicelib.operators.index_reader import IndexReader
from chalicelib.operators.index_swap import IndexSwap
from chalicelib.operators.scan import MessageScanner
from chalicelib.usecases.search import remove_from_index

LOCK = "reindex"
# So few documents are copied faster than as many new ones arrive.
FEW_DOCUMENTS = 500

Log = Callable[[str], None]
Progress = Callable[[int, int], None]


class ReindexJob:
    """One run. `progress` is called with how many documents are copied, and of about how many."""

    def __init__(
        self,
        scanner: MessageScanner,
        opensearch_url: str,
        log: Log,
        progress: Progress,
        alias: str = ALIAS,
    ) -> None:
        self._scanner = scanner
        self._swap = IndexSwap(opensearch_url, alias)
        self._reader = IndexReader(opensearch_url, self._swap.filling)
        self._index = OpenSearchIndex(opensearch_url, self._swap.filling)
        self._log, self._progress = log, progress
        self.refused: list[RefusedDocument] = []

    @property
    def copied(self) -> int:
        return self._swap.progress.copied

    def run(self) -> None:
        """Raises `ReindexRunningError` if another process runs a reindex, `UnavailableError`."""
        if not self._scanner.take_lock(LOCK):
            raise ReindexRunningError("another reindex is running")
        continues = self._swap.open()
        self._log(f"{'continuing with' if continues else 'filling'} {self._swap.index}")
        if not self._swap.swapped:
            self._copy()
            while (copied := self._swap.catch_up()) >= FEW_DOCUMENTS:
                self._log(f"{copied:,} documents copied that were indexed since the start")
            self._remove_deleted()
            self._scanner.check_lock(LOCK)
        self._swap.swap()
        self._log(f"{self._swap.index} is in use now")
        self._swap.catch_up()
        self._remove_deleted()
        self._scanner.check_lock(LOCK)
        self._swap.finish()

    def _copy(self) -> None:
        if self._swap.progress.scanned:
            return
        total = self._scanner.estimated_total()
        for chunk in self._scanner.chunks(self._swap.progress.position):
            documents = self._scanner.documents(chunk)
            self.refused += self._swap.fill(documents)
            self._scanner.check_lock(LOCK)
            self._swap.save_progress(position=chunk.end, copied=self.copied + len(documents))
            self._progress(self.copied, total)
        self._swap.save_progress(scanned=True)

    def _remove_deleted(self) -> None:
        """Remove chats that MySQL does not have any more.

        This runs before the swap, so that no search finds them, and after it, for chats that were deleted in
        between. Later deletions are the workers': they use the new index then.
        """
        self._reader.refresh()
        for page in self._reader.chats():
            keys = [chat.key for chat in page]
            live = self._scanner.last_numbers(keys)
            for token, chat in keys:
                if (token, chat) not in live:
                    remove_from_index(self._index, token, [chat])
