"""What the stores hold when the system is quiescent: every record is processed, and nothing is pending."""

import msgspec


class StoredMessage(msgspec.Struct, frozen=True):
    """The row of a message. A deleted message has a row too.

    If every edit adds its text to a list in the message, `edits` is that list. `key` is the Idempotency-Key
    of the request that created the message.
    """

    revision: int
    body: str
    deleted: bool = False
    edits: tuple[str, ...] | None = None
    key: str | None = None


class StoredChat(msgspec.Struct):
    """The row of a chat. A stub has revision 0. `skipped` holds ranges, both ends included.

    `edits` and `key` mean the same as in `StoredMessage`.
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
    """The rows of MySQL, the live documents of the index, and the leftovers elsewhere.

    `chats` has the rows by (token, chat). `readers` has the read markers by (token, user, chat), each with
    its unread count. `pending` and `due` are entries in Redis. `queued` and `dead` are records on the queues
    and on the dead-letter queues, without the records that the inbox refused. A text names each leftover.
    `is_gone` says that the application was deleted, so that nothing of it may be left.
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
