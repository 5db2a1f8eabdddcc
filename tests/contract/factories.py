"""Short calls that make versions, records and leases for tests."""

import secrets
from contextlib import suppress

from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import ConflictError
from chalicelib.domain.leases import ApplicationNotCached, Counter, LeaseGrant, LeaseMissing
from chalicelib.domain.models import (
    Application,
    AppToken,
    Chat,
    ChatNumber,
    Epoch,
    Lease,
    Message,
    MessageNumber,
    PurgedItem,
    Revision,
    Timestamp,
)
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord
from chalicelib.usecases.ports import Sequencer, Store

NOW = Timestamp("2026-01-31T12:00:00.000Z")
LEASE = Lease("incarnation-1", Epoch(1), 10)


def message(number: int, revision: int = 1, **fields: object) -> Message:
    version = Message(
        number=MessageNumber(number),
        revision=Revision(revision),
        body=f"{number}.{revision}",
        created_at=NOW,
    )
    return replace(version, **fields)


def deleted(number: int, revision: int) -> Message:
    return message(number, revision, body="", deleted_at=NOW)


def messages(token: str, *versions: Message, chat: int = 1, lease: Lease = LEASE) -> MessagesRecord:
    return MessagesRecord(
        token=AppToken(token), chat=ChatNumber(chat), lease=lease, messages=list(versions)
    )


def chat(number: int = 1, revision: int = 1, **fields: object) -> Chat:
    return replace(
        Chat(number=ChatNumber(number), revision=Revision(revision), created_at=NOW), **fields
    )


def chats(token: str, *versions: Chat, lease: Lease = LEASE) -> ChatsRecord:
    return ChatsRecord(token=AppToken(token), lease=lease, chats=list(versions))


def application(
    token: str, version: int = 1, previous_until: Timestamp | None = None
) -> Application:
    return Application(
        token=AppToken(token),
        name="an application",
        chats_count=0,
        created_at=NOW,
        key_version=version,
        previous_key_until=previous_until,
    )


def cache_application(sequencer: Sequencer, known: Application) -> None:
    """Cache an application in Redis, as a caller does that has read it from MySQL."""
    not_ready = sequencer.read_pending(
        Tenant(known.token, known.key_version), Counter(known.token), PageRequest(limit=1)
    )
    if isinstance(not_ready, ApplicationNotCached):
        assert sequencer.cache_application(known, not_ready.nonce)


def hold_first_lease(sequencer: Sequencer, counter: Counter, ceiling: int) -> None:
    """Give the incarnation the first lease of a chat's messages."""
    not_ready = sequencer.accept(Tenant(counter.token, 1), counter, [message(0)])
    assert isinstance(not_ready, LeaseMissing)
    assert sequencer.install_lease(
        counter, not_ready.nonce, LeaseGrant(0, Lease(not_ready.holder, Epoch(1), ceiling))
    )


def acquire(
    store: Store, counter: Counter, holder: str, window: int, at: Timestamp
) -> LeaseGrant | None:
    """Acquire a lease, as a caller does that has read the newest epoch."""
    while (epoch := store.leases.lease_epoch(counter)) is not None:
        with suppress(ConflictError):  # another caller came in between
            not_ready = LeaseMissing(holder, secrets.token_hex(16))
            return store.leases.acquire_lease(counter, not_ready, epoch, window, at)
    return None


def purge_all(store: Store, before: Timestamp, rows: int = 500) -> list[PurgedItem]:
    """Purge until nothing is left. Returns what was purged, in that order."""
    purged: list[PurgedItem] = []
    for application in store.purge.list_purgeable(0, before).applications:
        is_done = False
        while not is_done:
            emptied, is_done = store.purge.remove_rows(application.token, before, rows)
            store.purge.confirm_purged(emptied)
            purged += emptied
    return purged
