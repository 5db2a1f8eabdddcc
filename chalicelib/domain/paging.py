"""Pages of a list: which numbers a client wants, and how pending and stored versions make one page."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from chalicelib.domain.leases import PendingPage
from chalicelib.domain.limits import MAX_RESPONSE_BYTES

# The most JSON that an item can need: six bytes for each character of the body, as control characters do,
# and a fixed size for the sender, the metadata and the names of the fields.
_BYTES_PER_CHAR = 6
_BYTES_BESIDE_THE_BODY = 6_500


class PageRequest(msgspec.Struct, frozen=True):
    """The numbers that a client wants: those below `before`, or those above `after`.

    The newest come first. With `after`, the oldest come first.
    """

    limit: int
    before: int | None = None
    after: int | None = None

    @property
    def ascending(self) -> bool:
        return self.after is not None


class Page[T, C](msgspec.Struct, frozen=True):
    """One page, and the number or token after which the next page continues: None on the last page."""

    items: tuple[T, ...]
    next_cursor: C | None


def only(number: int) -> PageRequest:
    """The page that holds one number."""
    return PageRequest(limit=1, after=number - 1, before=number + 1)


def fit_to_response[T](items: Sequence[T], chars: Callable[[T], int]) -> Sequence[T]:
    """The first items that certainly fit into one response; at least one.

    `chars` gives the length of an item's body. Pages of ordinary messages are never shortened.
    """
    free_bytes = MAX_RESPONSE_BYTES
    for count, item in enumerate(items):
        free_bytes -= _BYTES_PER_CHAR * chars(item) + _BYTES_BESIDE_THE_BODY
        if free_bytes < 0 < count:
            return items[:count]
    return items


def rows_to_fetch(page: PageRequest, pending_page: PendingPage) -> int:
    """How many rows of MySQL fill the page, whatever is pending, and show whether a next page exists."""
    return page.limit + 1 + sum(1 for entry in pending_page.pending if entry.version.deleted_at)


def merge[T](
    page: PageRequest,
    pending_page: PendingPage,
    items: Iterable[T],
    number: Callable[[T], int],
    deleted: Callable[[T], bool],
    chars: Callable[[T], int],
) -> Page[T, int]:
    """The page of `items`, which hold the newest version of each number: pending or stored, deleted or not.

    If `pending_page` is truncated, numbers beyond its last one may have newer versions than `items`. So the
    page ends at that number at the latest.
    """
    reliable = sorted(items, key=number, reverse=not page.ascending)
    last: int | None = None
    if pending_page.truncated:
        last = pending_page.pending[-1].version.number
        sign = 1 if page.ascending else -1
        reliable = [item for item in reliable if sign * number(item) <= sign * last]
    live: Sequence[T] = [item for item in reliable if not deleted(item)]
    shown = tuple(fit_to_response(live[: page.limit], chars))
    if len(live) > len(shown):
        last = number(shown[-1])
    return Page(shown, last)
