"""Where the next page of a search begins: opaque to clients, and never trusted when it comes back.

It holds the sort values of the last hit and nothing about what may be seen: token, chat and filters
come from the request each time, so a cursor from elsewhere can only skip, never show more.
"""

import base64
import binascii

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.limits import MAX_NUMBER
from chalicelib.domain.search import SortOrder

# relevance: score, created_at in ms, chat, number. number: chat, number.
_LENGTHS: dict[SortOrder, int] = {"relevance": 4, "number": 2}
SortValues = tuple[int, ...]


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sort: SortOrder
    values: SortValues


def encode_cursor(sort: SortOrder, values: SortValues) -> str:
    """A text that is safe in a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(sort, values))).decode().rstrip("=")


def decode_cursor(cursor: str, sort: SortOrder) -> SortValues:
    """The sort values in it. Raises `InvalidError` where it is broken or of another sort."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=_Cursor)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError) as broken:
        raise InvalidError("cursor", "must be one that this search gave") from broken
    if found.sort != sort:
        raise InvalidError("cursor", f"belongs to a search that is sorted by {found.sort}")
    if len(found.values) != _LENGTHS[sort] or any(abs(v) > MAX_NUMBER for v in found.values):
        raise InvalidError("cursor", "must be one that this search gave")
    return found.values
