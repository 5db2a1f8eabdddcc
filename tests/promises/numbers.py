"""Rules about which numbers are taken."""

from collections.abc import Iterable, Iterator

from tests.promises.history import History
from tests.promises.stored import Stored


def holes(history: History, stored: Stored) -> Iterator[str]:
    """Up to the highest stored number each one is stored or reported as skipped, and never both."""
    for (_, chat), row in stored.chats.items():
        if row.deleted:
            continue
        skipped = {n for first, last in row.skipped for n in range(first, last + 1)}
        missing = set(range(1, max(row.messages, default=0) + 1)) - row.messages.keys() - skipped
        if missing:
            yield f"chat {chat} has no message {ranges(missing)}"
        if both := skipped & row.messages.keys():
            yield f"chat {chat} says that it skipped {ranges(both)}, which is stored"


def skipped_without_a_loss(history: History, stored: Stored) -> Iterator[str]:
    """Where Redis kept its memory, no number of a message or a chat is passed over."""
    if history.losses:
        return
    for (_, chat), row in stored.chats.items():
        if row.skipped and not row.deleted:
            yield f"chat {chat} skipped {row.skipped}, and no memory was lost"
    for token in stored.chats_count:
        numbers = {number for of, number in stored.chats if of == token}
        if missing := set(range(1, max(numbers, default=0) + 1)) - numbers:
            yield f"the application has no chat {ranges(missing)}, and no memory was lost"


def ranges(numbers: Iterable[int]) -> str:
    """`1-3, 7`"""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)
