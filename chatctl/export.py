"""Reading all messages of an application, oldest first, and going on with a file that ends too early."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from ordinal_client import Chat, Client

from chalicelib.domain.limits import MAX_PAGE_ITEMS
from chatctl.entries import Entry, entry_of
from chatctl.failures import ChatctlError

_TITLE_CHARS = 200
_BLOCK_BYTES = 1_000_000  # no line is longer


class Mark(msgspec.Struct, frozen=True):
    """The last message that a file holds; before the first one of all at the start."""

    chat: int = 0
    number: int = 0


def export_chats(client: Client, only: int | None, idempotency: Mark) -> Iterator[Entry]:
    """The messages behind the mark: chats by number, messages by number."""
    chats = list(client.chats(after=0, limit=MAX_PAGE_ITEMS))
    names = chat_names(chats)
    if only is not None:
        client.get_chat(only)  # says why, where there is none
    for chat in chats:
        if chat.number < idempotency.chat or only not in (None, chat.number):
            continue
        after = idempotency.number if chat.number == idempotency.chat else 0
        first = after == 0
        for message in client.messages(chat.number, after=after, limit=MAX_PAGE_ITEMS):
            yield entry_of(chat, names[chat.number], message, with_chat_metadata=first)
            first = False


def chat_names(chats: Sequence[Chat]) -> dict[int, str]:
    """What each chat is called in the file: its title, or else its number; no two alike."""
    plain = {chat.number: chat.title or str(chat.number) for chat in chats}
    uses = Counter(plain.values())
    return {
        number: name if uses[name] == 1 else f"{name[:_TITLE_CHARS]} #{number}"
        for number, name in plain.items()
    }


def read_mark(file: Path) -> Mark:
    """The last whole line's message. What a killed run left of a line behind it is cut off."""
    if not file.exists():
        return Mark()
    with file.open("r+b") as opened:
        size = opened.seek(0, 2)
        begin = max(0, size - _BLOCK_BYTES)
        opened.seek(begin)
        whole, newline, _ = opened.read().rpartition(b"\n")
        opened.truncate(begin + len(whole) + len(newline))
    if not whole:
        return Mark()
    try:
        entry = msgspec.json.decode(whole.rpartition(b"\n")[2], type=Entry)
    except msgspec.DecodeError as error:
        raise ChatctlError(f"{file} does not end as an export does: {error}") from None
    if entry.chat_number is None or entry.number is None:
        raise ChatctlError(f"{file} was not written by export: its last line has no numbers")
    return Mark(entry.chat_number, entry.number)
