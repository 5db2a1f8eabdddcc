"""What a release does with its tables, before the migrations of later releases and after them.

The code of a release plays each act on an empty database (`record.py`). The fake plays it too, and has the
expected result. `has` are the migrations of the release: it does nothing that needs a later one. The same
calls always send the same statements.
"""

from collections.abc import Collection

from msgspec.structs import replace

from chalicelib.domain.change_feed import Since
from chalicelib.domain.idempotency import IdempotencyKey, IdempotentWrite
from chalicelib.domain.leases import Counter, LeaseMissing, LeaseReleasing
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord
from chalicelib.domain.unread import ReadMarker, UnpersistedChat
from chalicelib.usecases.ports import Store

RELEASES_OF_LEASES, CHANGES, READERS, KEYS, IDEMPOTENCY = 2, 3, 4, 5, 6
TOKEN, LEFT = "acme", "left"
WINDOW = 10
CHATS = range(1, 7)
NOW, LATER = "2026-01-31T12:00:00.000Z", "2026-02-01T08:30:00.250Z"
MUCH_LATER = "2026-03-01T00:00:00.000Z"
# The recordings have these holders.
FIRST = Lease("memory-1", 1, 10)
SECOND = Lease("memory-2", 2, 26)
THIRD = Lease("memory-3", 3, 46)
ONCE = IdempotentWrite("admin", IdempotencyKey("a" * 64, "f" * 64), 1_769_860_800_000)


def message(number: int, revision: int, body: str = "") -> Message:
    return Message(
        number=number, revision=revision, body=body or f"{number}.{revision}", created_at=NOW
    )


def edited(number: int, revision: int, body: str) -> Message:
    return replace(message(number, revision, body), edited_at=LATER)


def deleted(number: int, revision: int) -> Message:
    return replace(message(number, revision), body="", deleted_at=LATER)


def chat(number: int, revision: int = 1, title: str | None = None) -> Chat:
    return Chat(number=number, revision=revision, title=title, created_at=NOW, messages_lease=FIRST)


def persist_in(
    store: Store, number: int, *versions: Message, lease: Lease = FIRST, token: str = TOKEN
) -> None:
    record = MessagesRecord(token=token, chat=number, lease=lease, messages=list(versions))
    store.persistence.persist_messages([record], WINDOW)


def persist_all(store: Store, *versions: Chat, token: str = TOKEN) -> None:
    store.persistence.persist_chats(
        [ChatsRecord(token=token, lease=FIRST, chats=list(versions))], WINDOW
    )


def before(store: Store, has: Collection[int]) -> None:
    """The release alone: creations, edits, deletions, late and repeated records, a lost Redis."""
    store.applications.create_application(
        TOKEN, "Acme", NOW, *([ONCE] if IDEMPOTENCY in has else [])
    )
    store.applications.create_application(LEFT, "leaves", NOW)
    store.applications.rename_application(TOKEN, "Acme & Söhne ☕")
    persist_all(
        store, replace(chat(1, title="Général ☕"), metadata={"a": [1, None]}), chat(2), chat(3)
    )
    written = replace(message(1, 1, "Grüße 👋\n'quoted'"), sender="ann", metadata={"b": 2})
    persist_in(store, 1, written, replace(message(2, 2), idempotency_key="key"), message(3, 3))
    persist_in(store, 1, message(5, 5), message(4, 4), message(6, 6))
    persist_in(
        store, 1, message(2, 2), edited(2, 9, "edited"), deleted(3, 10)
    )  # again, and changed
    persist_in(store, 1, message(2, 2), message(3, 3), deleted(5, 11))  # late
    persist_in(store, 2, deleted(1, 2), message(2, 3))
    persist_in(store, 2, message(1, 1))
    persist_in(store, 3, message(1, 1), message(2, 2))
    persist_in(store, 4, message(2, 2), message(1, 1))  # before their chat
    _acquire(store, Counter(TOKEN, 1), SECOND, epoch=1)
    persist_in(store, 1, message(17, 2 << 32), lease=SECOND)
    store.leases.extend_lease(Counter(TOKEN, 1), SECOND, WINDOW, NOW)
    persist_all(store, replace(chat(3, 5), deleted_at=LATER))
    persist_all(store, chat(1), token=LEFT)
    persist_in(store, 1, message(1, 1), message(2, 2), token=LEFT)
    store.applications.delete_application(LEFT, LATER)
    if READERS in has:
        store.read_markers.mark_read(TOKEN, "ann", ReadMarker(1, 4), 0)
        store.read_markers.mark_read(TOKEN, "bob", ReadMarker(2, 1), 0)
    _read_everything(store, has)


def after(store: Store, has: Collection[int]) -> None:
    """The release continues on the tables of later releases."""
    persist_all(store, chat(4, title="late"), chat(5))
    persist_in(store, 1, message(18, 3 << 32), message(19, (3 << 32) + 1), lease=SECOND)
    persist_in(store, 1, message(8, 8))  # a skipped number
    persist_in(store, 1, edited(1, (3 << 32) + 2, "edited later"), lease=SECOND)
    persist_in(store, 1, deleted(18, (3 << 32) + 3), deleted(4, (3 << 32) + 4), lease=SECOND)
    persist_in(
        store, 1, edited(5, (3 << 32) + 5, "back"), lease=SECOND
    )  # made from an earlier version
    persist_in(store, 6, message(1, 1))
    _acquire(store, Counter(TOKEN, 1), THIRD, epoch=2)
    if RELEASES_OF_LEASES in has:
        releasing = LeaseReleasing(THIRD.holder, THIRD.epoch, 36)
        store.leases.release_leases({Counter(TOKEN, 1): releasing})
    store.applications.create_application("other", "another", NOW)
    store.purge.remove_rows(LEFT, MUCH_LATER, 2)
    if READERS in has:
        store.read_markers.mark_read(TOKEN, "ann", ReadMarker(1, 17), 0)
        store.read_markers.mark_read(TOKEN, "cem", ReadMarker(4, 1), 0)
    if KEYS in has:
        store.applications.rotate_key(TOKEN, 1, LATER)
    if IDEMPOTENCY in has:
        store.applications.delete_responses(NOW, 10)
    _read_everything(store, has)


def _acquire(store: Store, counter: Counter, lease: Lease, epoch: int) -> None:
    not_ready = LeaseMissing(lease.holder, f"nonce-{lease.epoch}")
    store.leases.acquire_lease(counter, not_ready, epoch, WINDOW, LATER)


def _read_everything(store: Store, has: Collection[int]) -> None:
    """Read everything in every way, so that the recording has each statement that reads."""
    store.applications.get_application(TOKEN)
    store.applications.list_applications(None, 10)
    store.applications.list_tokens(0, 10)
    store.chats.list_chats(TOKEN, PageRequest(limit=10), 10)
    store.chats.get_chat(TOKEN, 1)
    store.messages.list_messages(TOKEN, 1, PageRequest(limit=10), 10)
    store.messages.get_message(TOKEN, 1, 3)
    store.messages.revisions({Counter(TOKEN, 1): [1, 2, 3]})
    store.leases.skipped_numbers(TOKEN, 1)
    store.leases.chat_may_arrive(TOKEN, 9, None, LATER)
    if CHANGES in has:
        store.messages.list_changes(TOKEN, 1, Since(), 10)
    if READERS in has:
        store.read_markers.list_read_markers(TOKEN, "ann", PageRequest(limit=10), 10)
        store.read_markers.count_unread(TOKEN, [ReadMarker(1, 2)], {1: UnpersistedChat()})
    if IDEMPOTENCY in has:
        store.applications.find_response(ONCE)
