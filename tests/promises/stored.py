"""What the stores hold when all is calm."""

import msgspec


class StoredMessage(msgspec.Struct, frozen=True):
    """A row, also of a deleted message.

    Where each edit adds its text to a list in the message, `edits` is that list. `key` is the one that
    it was created with.
    """

    revision: int
    body: str
    deleted: bool = False
    edits: tuple[str, ...] | None = None
    key: str | None = None


class StoredChat(msgspec.Struct):
    """A chat's row. A stub has revision 0. `skipped` are ranges, both ends included.

    `edits` and `key` are as those of a message.
    """

    revision: int
    title: str | None = None
    deleted: bool = False
    messages_count: int = 0
    messages: dict[int, StoredMessage] = {}
    skipped: list[tuple[int, int]] = []
    edits: tuple[str, ...] | None = None
    key: str | None = None


class Stored(msgspec.Struct):
    """MySQL's rows by (token, chat), the live documents of the index, and what is left over elsewhere.

    `readers` are the read markers by (token, user, chat), each with its unread count. `pending` and `due`
    are Redis's, `queued` and `dead` are records in the queues and in their dead-letter queues, but for
    what the inbox refused. A text names what is left over: a number of a chat, a queue. Where `is_gone`,
    the application was deleted, and nothing of it may be left.
    """

    chats: dict[tuple[str, int], StoredChat] = {}
    chats_count: dict[str, int] = {}
    indexed: dict[tuple[str, int, int], tuple[int, str]] = {}
    readers: dict[tuple[str, str, int], tuple[int, int]] = {}
    pending: list[str] = []
    due: list[str] = []
    queued: list[str] = []
    dead: list[str] = []
    is_gone: bool = False
