"""Walking through all messages in one order: by token, by chat, by number."""

import msgspec

ChatKey = tuple[str, int]  # token, chat


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in the walk: everything up to it is done. The default is before all messages."""

    token: str = ""
    chat: int = 0
    number: int = 0


class Slice(msgspec.Struct, frozen=True):
    """Messages that are handled together: those of some chats with `above` < number <= `up_to`.

    They are a range of one big chat, or all of several small ones. `chats` are numbers with the ids
    that they have in the database, in the order of the numbers.
    """

    token: str
    chats: tuple[tuple[int, int], ...]
    above: int
    up_to: int

    @property
    def end(self) -> Position:
        return Position(self.token, self.chats[-1][0], self.up_to)
