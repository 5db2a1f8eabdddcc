"""Pages of a list: which numbers a client wants, and how pending and stored versions make one page."""

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.leases import PendingPage
from chalicelib.domain.limits import MAX_RESPONSE_BYTES
from chalicelib.domain.models import AppToken, Timestamp
from chalicelib.domain.times import parse_time

# The most JSON that an item can need: six bytes for each character of the body, as control characters do,
# and a fixed size for the sender, the metadata and the names of the fields.
_BYTES_PER_CHAR = 6
_BYTES_BESIDE_THE_BODY = 6_500

_APPLICATION_CURSOR = re.compile(r"(?P<time>[0-9T:.-]+Z)_(?P<token>[0-9a-f]{1,64})")


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


class ApplicationCursor(msgspec.Struct, frozen=True):
    """Where a list of applications continues: behind this one. The application may be gone by then."""

    created_at: Timestamp
    token: AppToken

    def __str__(self) -> str:
        return f"{self.created_at}_{self.token}"


def parse_application_cursor(text: str) -> ApplicationCursor:
    """The cursor that a client sent. Raises `InvalidError` if it is not one."""
    match = _APPLICATION_CURSOR.fullmatch(text)
    if not match:
        raise InvalidError("before", "must be the `before` of an earlier `next`")
    return ApplicationCursor(parse_time("before", match["time"]), AppToken(match["token"]))


class Page[T, C](msgspec.Struct, frozen=True):
    """One page, and the number or cursor after which the next page continues: None on the last page."""

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
    rows: Sequence[T],
    items: Iterable[T],
    number: Callable[[T], int],
    deleted: Callable[[T], bool],
    chars: Callable[[T], int],
) -> Page[T, int]:
    """The page of `items`, which hold the newest version of each number: pending or stored, deleted or not.

    If `pending_page` is truncated, numbers beyond its last one may have newer versions than `items`. If the
    stored `rows` do not all fit into a response, numbers beyond the last row may be missing. So the page ends
    at these numbers at the latest.
    """
    reliable = sorted(items, key=number, reverse=not page.ascending)
    ends: list[int] = []
    if pending_page.truncated:
        ends.append(pending_page.pending[-1].version.number)
    if len(fit_to_response(rows, chars)) < len(rows):
        ends.append(number(rows[-1]))
    last: int | None = None
    if ends:
        sign = 1 if page.ascending else -1
        last = min(ends, key=lambda end: sign * end)
        reliable = [item for item in reliable if sign * number(item) <= sign * last]
    live: Sequence[T] = [item for item in reliable if not deleted(item)]
    shown = tuple(fit_to_response(live[: page.limit], chars))
    if len(live) > len(shown):
        last = number(shown[-1])
    return Page(shown, last)
