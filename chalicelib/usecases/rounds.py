"""Visit all applications in turn: fairly, in limited time, and from where the last run stopped.

A task of the schedule visits each application once a round, and does a small part of its work there. So an
application with much work delays no other by more than that part. A run that has no time left stores how far
it came, and the next run starts there. The row in MySQL is the right place for this: the list of applications
comes from MySQL anyway, while a key in Redis would be on one node and would be lost with it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from itertools import chain

import msgspec

from chalicelib.domain.errors import OrdinalError, UnavailableError
from chalicelib.domain.models import AppToken, ListedApplication, ListedPage
from chalicelib.domain.times import Deadline
from chalicelib.usecases.ports import Ports

ListTokens = Callable[[int, int], list[ListedApplication]]
ListPage = Callable[[int], ListedPage]

# What can go wrong with one application. Its stored data may be unreadable, or a part may be away.
FAILURES = (OrdinalError, msgspec.MsgspecError, ValueError)
# One round trip to each node of Redis serves all applications of a page.
_TOKENS_PER_PAGE = 1_000
# A run that is killed repeats at most what it did in this time.
_SAVE_AFTER_MS = 5_000


class TaskResult(msgspec.Struct):
    """How many things a task did, and the errors that ended a part of its work."""

    count: int = 0
    errors: list[Exception] = []


def token_pages(list_tokens: ListTokens) -> Iterator[list[AppToken]]:
    """The tokens of all applications, in the order of creation. `list_tokens` is the store's."""
    after = 0
    while page := list_tokens(after, _TOKENS_PER_PAGE):
        yield [application.token for application in page]
        after = page[-1].id


class Round:
    """One run of a task over all applications. `errors` are those of the parts that it could not do."""

    def __init__(
        self, ports: Ports, task: str, deadline: Deadline, list_page: ListPage | None = None
    ) -> None:
        self.errors: list[Exception] = []
        # Whether this run has visited all applications, and whether it has passed the last one.
        self.is_complete = self.is_wrapped = False
        self.deadline = deadline
        self._ports = ports
        self._task = task
        self._list_page = list_page or self._list_applications
        self.state = self._stored = ports.store.rounds.get_round(task)
        self._saved_at_ms = ports.clock.now_ms()

    def read[T](self, query: Callable[[list[AppToken]], T]) -> Iterator[T]:
        """What `query` returns for all applications, a page and a node of Redis at a time."""
        for page in self._pages():
            yield from self._read_by_node(query, page)

    def take_turns(
        self,
        take_turn: Callable[[AppToken], bool],
        find: Callable[[list[AppToken]], Iterable[AppToken]] | None = None,
    ) -> None:
        """Give each application that `find` returns a turn, and then more turns while there is time.

        `take_turn` does a small part of the work, and returns whether more of it is left. Without `find`,
        each listed application gets a turn.
        """
        unfinished: deque[AppToken] = deque()

        def turn(token: AppToken) -> None:
            try:
                with self.deadline.step():
                    is_unfinished = take_turn(token)
            except FAILURES as error:
                self.errors.append(error)
            else:
                if is_unfinished:
                    unfinished.append(token)

        for token in self._applications(find):
            turn(token)
        while unfinished and self.deadline.allows_step():
            turn(unfinished.popleft())

    def save(self) -> None:
        """Store where the next run starts. If that fails, it starts where this one has started."""
        if self.state != self._stored:
            with suppress(UnavailableError):
                self._ports.store.rounds.save_round(self._task, self.state)
                self._stored = self.state
        self._saved_at_ms = self._ports.clock.now_ms()

    def _applications(
        self, find: Callable[[list[AppToken]], Iterable[AppToken]] | None
    ) -> Iterator[AppToken]:
        """Those that `find` returns, one by one, while there is time."""
        for page in self._pages():
            due = None if find is None else set(chain.from_iterable(self._read_by_node(find, page)))
            for application in page.applications:
                if due is None or application.token in due:
                    if not self.deadline.allows_step():
                        return
                    yield application.token
                    self._move_to(application.id)

    def _pages(self) -> Iterator[ListedPage]:
        """From where the last run stopped to the end, and then from the beginning to there."""
        start = after = self.state.after
        while self.deadline.allows_step():
            with self.deadline.step():
                page = self._list_page(after)
            if self.is_wrapped:
                page = page.up_to(start)
            yield page
            after = page.last
            self._move_to(after)
            if not page.is_end:
                continue
            if self.is_wrapped or start == 0:
                self.is_complete = True
                self._move_to(start)
                return
            self.is_wrapped, after = True, 0
            self._move_to(0)

    def _list_applications(self, after: int) -> ListedPage:
        listed = self._ports.store.applications.list_tokens(after, _TOKENS_PER_PAGE)
        last = listed[-1].id if listed else after
        return ListedPage(listed, last, len(listed) < _TOKENS_PER_PAGE)

    def _read_by_node[T](
        self, query: Callable[[list[AppToken]], T], page: ListedPage
    ) -> Iterator[T]:
        """What `query` returns. A node of Redis that is away hides only its own applications."""
        for group in self._by_node([application.token for application in page.applications]):
            try:
                with self.deadline.step():
                    result = query(group)
            except UnavailableError as error:
                self.errors.append(error)
            else:
                yield result

    def _by_node(self, tokens: list[AppToken]) -> Collection[list[AppToken]]:
        if not tokens:
            return []
        try:
            return self._ports.sequencer.by_node(tokens).values()
        except UnavailableError:
            # No node has the keys of some of them.
            return [[token] for token in tokens]

    def _move_to(self, after: int) -> None:
        self.state = msgspec.structs.replace(self.state, after=after)
        if self._ports.clock.now_ms() - self._saved_at_ms >= _SAVE_AFTER_MS:
            self.save()
