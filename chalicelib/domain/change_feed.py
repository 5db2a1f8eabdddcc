"""The change feed of a chat: each message once, in its newest stored version, in order.

The order is the one in which the versions were stored. Each takes the next position of its chat, under the
lock of the chat's row. So a version that is stored later always has a higher position, even if its record
came late, twice or out of order, or an incarnation of Redis was lost. Revisions do not have such an order.

A version that is only pending is not in the feed: Redis may lose it, and a client that had seen it would keep
it for ever.
"""

import re
from typing import Literal

import msgspec

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.limits import MAX_NUMBER
from chalicelib.domain.models import Message

ChangeType = Literal["created", "edited", "deleted"]

_SINCE = re.compile(r"0|([0-9]{1,16})\.([0-9]{1,16})")


class Since(msgspec.Struct, frozen=True):
    """A position in the change feed: the client has everything up to it. The default is the start.

    Messages that were stored before there were positions all have position 0. `number` orders them.
    """

    position: int = 0
    number: int = 0

    def __str__(self) -> str:
        return f"{self.position}.{self.number}" if self != Since() else "0"


class Change(msgspec.Struct, frozen=True):
    """The newest stored version of a message, and its position in the change feed of the chat."""

    position: int
    message: Message

    @property
    def type(self) -> ChangeType:
        """The kind of the change. A client may never have seen the versions before it."""
        if self.message.deleted_at:
            return "deleted"
        return "edited" if self.message.edited_at else "created"

    @property
    def since(self) -> Since:
        """The position after this change."""
        return Since(self.position, self.message.number)


class Changes(msgspec.Struct, frozen=True):
    """Some changes, the position after the last of them, and whether more are stored."""

    items: tuple[Change, ...]
    since: Since
    more: bool


def parse_since(text: str) -> Since:
    """The position that a client sent. Raises `InvalidError` if it is not one."""
    match = _SINCE.fullmatch(text)
    since = Since(*map(int, match.groups(default="0"))) if match else None
    if since is None or max(since.position, since.number) > MAX_NUMBER:
        raise InvalidError("since", "must be 0, or the `since` of an earlier response")
    return since
