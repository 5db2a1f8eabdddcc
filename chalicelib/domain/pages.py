"""Pages of numbers: what is pending and what MySQL has, merged."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from chalicelib.domain.numbering import Look, Page


class Listed[T](msgspec.Struct, frozen=True):
    """One page, and the number from which the next one goes on (None on the last page)."""

    items: tuple[T, ...]
    more_from: int | None


def rows_wanted(page: Page, look: Look) -> int:
    """How many rows of MySQL fill the page whatever is pending, and show whether there are more."""
    return page.limit + 1 + sum(1 for entry in look.pending if entry.state.deleted_at)


def merge[T](
    page: Page,
    look: Look,
    items: Iterable[T],
    number: Callable[[T], int],
    deleted: Callable[[T], bool],
) -> Listed[T]:
    """The page of `items`: the newest state of each number, pending or stored, deleted ones too.

    Where more was pending than `look` holds, nothing is known beyond its last number: the page ends
    there at the latest.
    """
    known = sorted(items, key=number, reverse=not page.ascending)
    edge: int | None = None
    if look.cut:
        edge = look.pending[-1].state.number
        sign = 1 if page.ascending else -1
        known = [item for item in known if sign * number(item) <= sign * edge]
    live: Sequence[T] = [item for item in known if not deleted(item)]
    shown = tuple(live[: page.limit])
    if len(live) > page.limit:
        edge = number(shown[-1])
    return Listed(shown, edge)
