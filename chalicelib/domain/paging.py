"""Pages of numbers: what a client asks for, and what is pending and what MySQL has, merged."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from chalicelib.domain.leases import (
    PendingPage,
)
from chalicelib.domain.limits import MAX_RESPONSE_BYTES


class PageRequest(msgspec.Struct, frozen=True):
    """Which numbers of a list are wanted: those below `before`, or those above `after`.

    Newest first, unless `after` is given: then oldest first.
    """

    limit: int
    before: int | None = None
    after: int | None = None

    @property
    def ascending(self) -> bool:
        return self.after is not None


# Pages of numbers: what is pending and what MySQL has, merged.


class Page[T](msgspec.Struct, frozen=True):
    """One page, and the number from which the next one goes on (None on the last page)."""

    items: tuple[T, ...]
    next_cursor: int | None


# At most so many bytes of JSON: a character six, as a control character takes; sender and the names
# of the fields, the metadata.
_BYTES_A_CHAR = 6
_BYTES_BESIDE_THE_BODY = 6_500


def fit_to_response[T](items: Sequence[T], chars: Callable[[T], int]) -> Sequence[T]:
    """As many of the first items, and at least one, as one answer certainly holds.

    `chars` is how many characters the body of an item has. Pages of ordinary messages are never cut.
    """
    room = MAX_RESPONSE_BYTES
    for count, item in enumerate(items):
        room -= _BYTES_A_CHAR * chars(item) + _BYTES_BESIDE_THE_BODY
        if room < 0 < count:
            return items[:count]
    return items


def rows_to_fetch(page: PageRequest, pending_page: PendingPage) -> int:
    """How many rows of MySQL fill the page whatever is pending, and show whether there are more."""
    return page.limit + 1 + sum(1 for entry in pending_page.pending if entry.state.deleted_at)


def merge[T](
    page: PageRequest,
    pending_page: PendingPage,
    items: Iterable[T],
    number: Callable[[T], int],
    deleted: Callable[[T], bool],
    chars: Callable[[T], int],
) -> Page[T]:
    """The page of `items`: the newest state of each number, pending or stored, deleted ones too.

    Where more was pending than `look` holds, nothing is known beyond its last number: the page ends
    there at the latest.
    """
    known = sorted(items, key=number, reverse=not page.ascending)
    edge: int | None = None
    if pending_page.cut:
        edge = pending_page.pending[-1].state.number
        sign = 1 if page.ascending else -1
        known = [item for item in known if sign * number(item) <= sign * edge]
    live: Sequence[T] = [item for item in known if not deleted(item)]
    shown = tuple(fit_to_response(live[: page.limit], chars))
    if len(live) > len(shown):
        edge = number(shown[-1])
    return Page(shown, edge)
