"""The changes of a chat's messages: each message once, in its newest stored state, in order.

The order is that in which the states were stored: each takes the next position of its chat, under the
lock of the chat's row. So what becomes visible later always has a higher position, whatever comes late,
twice or out of order, and whatever memory was lost. Revisions have no such order, and a state that is
only pending is none yet: it may go with Redis' memory, and who was told of it would keep it for ever.
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
    """A place in the changes of a chat; all that was stored up to it was told. The default is the start.

    `number` orders the messages that were stored before positions were kept: all of these have 0.
    """

    position: int = 0
    number: int = 0

    def __str__(self) -> str:
        return f"{self.position}.{self.number}" if self != Since() else "0"


class Change(msgspec.Struct, frozen=True):
    """The newest stored state of a message, and its position among those of the chat."""

    position: int
    message: Message

    @property
    def type(self) -> ChangeType:
        """What the state is; the states before it may never have been told."""
        if self.message.deleted_at:
            return "deleted"
        return "edited" if self.message.edited_at else "created"

    @property
    def since(self) -> Since:
        """The place right behind it."""
        return Since(self.position, self.message.number)


class Changes(msgspec.Struct, frozen=True):
    """Some changes, the place behind the last of them, and whether more are stored."""

    items: tuple[Change, ...]
    since: Since
    more: bool


def parse_since(text: str) -> Since:
    """The place that a client names. Raises `InvalidError` where it is none."""
    found = _SINCE.fullmatch(text)
    place = Since(*map(int, found.groups(default="0"))) if found else None
    if place is None or max(place.position, place.number) > MAX_NUMBER:
        raise InvalidError("since", "must be 0, or the `since` of an earlier answer")
    return place
