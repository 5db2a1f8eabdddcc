"""What the use cases need from the world: one adapter each in `chalicelib/adapters`, one fake in `tests`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Change, Since
from chalicelib.domain.idempotency import IdempotencyKey, IdempotentWrite
from chalicelib.domain.leases import (
    Accepted,
    ApplicationNotCached,
    Counter,
    EditPrecondition,
    IssuedUpTo,
    LeaseGrant,
    LeaseMissing,
    LeaseReleasing,
    NotReady,
    PendingPage,
    PersistedChats,
    PersistedMessages,
)
from chalicelib.domain.metrics import Metric
from chalicelib.domain.models import Application, Chat, ChatRow, Lease, Message, Pending, PurgedItem
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, Document, MessagesRecord
from chalicelib.domain.search import Query, SearchPage
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnpersistedChats, UnreadCount


class Clock(Protocol):
    """Time. `wait` is the only way in which a use case pauses."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        ...

    def wait(self, seconds: float) -> None: ...


class Sequencer(Protocol):
    """Redis: counters with their leases, pending versions, Idempotency-Keys, rate limits. A call is a script.

    Any call can raise `UnavailableError`; the calls that accept also do if too much is pending. The calls
    of a tenant raise `UnauthenticatedError` if its key is not valid any more, and `NotFoundError` if the
    application was deleted. All of them but `edit` take from the tenant's buckets, return what is left in
    `remaining`, and raise `RateLimitedError` if a bucket has too little. A call that returns `NotReady`
    takes nothing.
    """

    def accept(
        self,
        tenant: Tenant,
        counter: Counter,
        drafts: Sequence[Message] | Sequence[Chat],
        idempotency: IdempotencyKey | None = None,
    ) -> Accepted | NotReady:
        """Give the drafts (whose number and revision are 0) their numbers, and store them as pending.

        Takes one for each draft. Raises `GoneError` (the chat was deleted), `KeyReusedError`.
        """
        ...

    def edit(
        self,
        tenant: Tenant,
        counter: Counter,
        version: Message | Chat,
        precondition: EditPrecondition,
        idempotency: IdempotencyKey | None = None,
        stored_response: bytes = b"",
    ) -> Accepted | NotReady:
        """Accept a new version of a number that is in use; it gets a newer revision.

        A replay returns the `stored_response`. Under a lease that is older than the newest one, nothing is
        accepted: the result is `NotReady`. Takes nothing, because the read before it has. Raises
        `ConflictError` if another edit came first, `GoneError`, `KeyReusedError`.
        """
        ...

    def read_pending(
        self,
        tenant: Tenant,
        counter: Counter,
        page: PageRequest,
        idempotency: IdempotencyKey | None = None,
    ) -> PendingPage | ApplicationNotCached:
        """The pending versions of a page, or what an earlier request with this Idempotency-Key got.

        Takes one. Raises `GoneError` (the chat was deleted), `KeyReusedError`.
        """
        ...

    def read_unpersisted(
        self, tenant: Tenant, chats: Sequence[int]
    ) -> UnpersistedChats | ApplicationNotCached:
        """What Redis knows of these chats, and MySQL may not know yet. The chats need not exist.

        Takes one.
        """
        ...

    def cache_application(self, application: Application, nonce: str) -> bool:
        """Note which keys MySQL says are valid, for an hour.

        Only if the nonce of `ApplicationNotCached` is still there: a copy that was read before the key was
        changed, or for another incarnation, is refused.
        """
        ...

    def invalidate_key_cache(self, token: str) -> None:
        """Ask MySQL for the valid keys again: they were changed. Nothing that was read before is taken."""
        ...

    def block_application(self, token: str) -> None:
        """Refuse the application's requests from now on: it was deleted."""
        ...

    def block_chats(self, token: str, numbers: Sequence[int]) -> None:
        """Refuse requests to these chats from now on: their deletion is persisted."""
        ...

    def install_lease(self, counter: Counter, nonce: str, grant: LeaseGrant) -> bool:
        """Take a lease that MySQL gave, only where the nonce and the memory are still the same."""
        ...

    def discard_lease(self, counter: Counter, lease: Lease) -> None:
        """Give up a lease that MySQL will not raise; the next `accept` begins a new one."""
        ...

    def abandon_nonce(self, counter: Counter, nonce: str) -> None:
        """Give up beginning, so that others need not wait. Only where the store gave no lease."""
        ...

    def is_acquiring(self, counter: Counter, nonce: str) -> bool:
        """Whether no other caller has taken over since this nonce was left."""
        ...

    def list_idle(self, tokens: Sequence[str], idle_ms: int, limit: int) -> list[Counter]:
        """Counters that nothing has been pending of for so long; up to `limit` of an application."""
        ...

    def mark_releasing(self, counter: Counter, idle_ms: int) -> LeaseReleasing | None:
        """Hand out no number any more, if the counter is quiet and nothing of it is pending."""
        ...

    def forget_released(self, counter: Counter, closing: LeaseReleasing) -> None:
        """Forget a counter whose lease was given back; the next `accept` begins a new one."""
        ...

    def forget_application(self, token: str) -> None:
        """Forget all counters of an application that is gone."""
        ...

    def extend_lease(self, counter: Counter, lease: Lease) -> None:
        """Take a higher ceiling, only where holder and epoch are still the same."""
        ...

    def acknowledge(self, acknowledged: Mapping[Counter, Mapping[int, int]]) -> None:
        """Drop pending states (number → revision) of each counter unless a newer one is there by now.

        One script for each counter, which may be run twice.
        """
        ...

    def list_overdue(self, tokens: Sequence[str], limit: int) -> list[tuple[Counter, int]]:
        """Counter and number of pending states that should have been persisted by now."""
        ...

    def get_pending(self, counter: Counter, numbers: Sequence[int]) -> list[Pending]:
        """The pending states of these numbers."""
        ...

    def postpone(self, counter: Counter, due_at_ms: dict[int, int]) -> None:
        """Say when pending states (by number) are overdue again."""
        ...

    def oldest_pending(self, tokens: Sequence[str]) -> int | None:
        """When the oldest pending state of these applications was accepted, in ms since 1970.

        None where nothing is pending. Younger ones may hide one that was sent again, up to a minute.
        """
        ...

    def ping(self) -> None: ...


class Applications(Protocol):
    """Applications, and the stored responses of the requests that change them.

    Each method that takes `idempotency` stores its response in the same transaction. It raises
    `InProgressError` if another request with the same Idempotency-Key was first.
    """

    def create_application(
        self, token: str, name: str, created_at: str, idempotency: IdempotentWrite | None = None
    ) -> Application: ...

    def get_application(self, token: str) -> Application | None:
        """None if it never existed or was deleted."""
        ...

    def list_applications(self, before: str | None, limit: int) -> list[Application]:
        """Up to `limit` applications, newest first: those created before the one with the token `before`."""
        ...

    def list_tokens(self, after: str | None, limit: int) -> list[str]:
        """Up to `limit` tokens of applications, oldest first, after the token `after`."""
        ...

    def rename_application(
        self, token: str, name: str, idempotency: IdempotentWrite | None = None
    ) -> Application | None:
        """None if it does not exist."""
        ...

    def rotate_key(
        self,
        token: str,
        version: int,
        previous_until: str | None,
        idempotency: IdempotentWrite | None = None,
    ) -> Application | None:
        """Give the application the key version `version + 1`, if `version` is its newest.

        `version` stays valid until `previous_until` (RFC 3339), older versions become invalid. None if
        `version` is not the newest, or if the application does not exist.
        """
        ...

    def delete_application(
        self, token: str, at: str, idempotency: IdempotentWrite | None = None
    ) -> bool:
        """Set its `deleted_at`; `Purge` removes its content later. False if it does not exist."""
        ...

    def find_response(self, idempotency: IdempotentWrite) -> bytes | None:
        """The response to a request with this key in the last 24 hours.

        It is the application as JSON, or `b""` for a deletion. None if no such request has ended. Raises
        `KeyReusedError` if that request had another fingerprint.
        """
        ...

    def delete_responses(self, before: str, rows: int) -> int:
        """Remove up to `rows` responses that were stored before then. Returns how many."""
        ...


class Chats(Protocol):
    """Chats with their counts. A stub counts as a chat."""

    def get_chat(self, token: str, number: int) -> ChatRow | None:
        """A deleted chat has its `deleted_at`. None if it has no row or its application was deleted."""
        ...

    def existing_chats(self, chats: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
        """Those of these chats (token, number) that have a row and are not deleted.

        Chats of a deleted application count as deleted.
        """
        ...

    def list_chats(self, token: str, page: PageRequest, limit: int) -> list[ChatRow]:
        """Up to `limit` chats of the page that are not deleted, in the order of the page."""
        ...


class Messages(Protocol):
    """Messages of one chat, and its change feed. A deleted chat has no messages and no changes."""

    def get_message(self, token: str, chat: int, number: int) -> Message | None:
        """A deleted message has its `deleted_at`. None if it has no row."""
        ...

    def list_messages(self, token: str, chat: int, page: PageRequest, limit: int) -> list[Message]:
        """Up to `limit` messages of the page that are not deleted, in the order of the page."""
        ...

    def list_changes(self, token: str, chat: int, since: Since, limit: int) -> list[Change]:
        """Up to `limit` changes after `since`, by position and number. Deleted messages are included.

        A version that is stored later has a higher position than every listed change.
        """
        ...

    def revisions(self, counter: Counter, numbers: Sequence[int]) -> dict[int, int]:
        """The stored revision of each of these numbers. Numbers without a row, and stubs, are left out."""
        ...


class ReadMarkers(Protocol):
    """How far users have read."""

    def mark_read(self, token: str, user: str, marker: ReadMarker, pending_last: int) -> None:
        """Move a user's marker up, never back.

        It goes up to `marker.number`, but not above the highest number that is stored or pending
        (`pending_last`). The chat may have no row yet. Nothing happens if the chat or the application was
        deleted.
        """
        ...

    def list_read_markers(
        self, token: str, user: str, page: PageRequest, limit: int
    ) -> list[ReadMarker]:
        """Up to `limit` markers of a user, by chat number. Those in deleted chats are left out."""
        ...

    def count_unread(
        self, token: str, markers: Sequence[ReadMarker], unpersisted: Mapping[int, UnpersistedChat]
    ) -> list[UnreadCount]:
        """How many messages that are not deleted are above each marker, pending ones included.

        `unpersisted` has an entry for each marker's chat, which was read from Redis before this call.
        Markers in chats that do not exist are left out.
        """
        ...


class Leases(Protocol):
    """How far the numbers of a counter may go, and which numbers were skipped.

    The methods raise `GoneError` if the chat or its application was deleted.
    """

    def lease_epoch(self, counter: Counter) -> int | None:
        """The epoch of the newest lease. None if the chat (or the application) has no row."""
        ...

    def acquire_lease(
        self, counter: Counter, missing: LeaseMissing, epoch: int, window: int, at: str
    ) -> LeaseGrant | None:
        """Grant `missing.holder` the `window` numbers above the highest ceiling, with the epoch `epoch + 1`.

        If the newest grant was to one of `missing.abandoned_nonces`, its numbers are granted again.
        Otherwise the numbers below it that have no row are recorded as skipped since `at` (RFC 3339). None
        if the row does not exist. Raises `ConflictError` if `epoch` is not the newest any more.
        """
        ...

    def extend_lease(self, counter: Counter, lease: Lease, window: int) -> Lease | None:
        """Raise the ceiling to `window` above `lease.ceiling`, if holder and epoch are unchanged.

        Never lowers the ceiling. Returns the lease with its new ceiling; None if there is a newer lease.
        Raises `UnavailableError` if the row does not exist yet.
        """
        ...

    def release_lease(self, counter: Counter, releasing: LeaseReleasing) -> None:
        """Take back the numbers above `releasing.last`, if holder and epoch are unchanged."""
        ...

    def skipped_numbers(self, token: str, chat: int) -> list[NumberRange]:
        """The message numbers that were skipped and still have no row, in ascending order."""
        ...

    def chat_may_arrive(
        self, token: str, number: int, chats: IssuedUpTo | None, since: str
    ) -> bool:
        """Whether the record of a chat without a row may still arrive.

        `chats` says how far an incarnation has issued chat numbers. If it holds the newest lease, no higher
        number can arrive. Otherwise any number up to the highest ceiling can, because another incarnation
        may have issued it. A number that was recorded as skipped before `since` (RFC 3339) cannot arrive.
        """
        ...


class Persistence(Protocol):
    """Stores the records of one invocation of a worker. `window` is how many numbers a lease gives.

    The methods raise `PoisonError` if the database can never store the content.
    """

    def persist_chats(self, records: Sequence[ChatsRecord], window: int) -> PersistedChats:
        """Store versions of chats and their counts. The highest revision wins, and a deletion is final."""
        ...

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        """Store versions of messages and their counts, and create stubs of chats without a row.

        Versions for a deleted chat or application are dropped, and count as acknowledged.
        """
        ...


class Purge(Protocol):
    """Removes what was deleted, in two steps, so that nothing of it stays in the search index."""

    def purge_deleted(self, before: str, rows: int) -> list[PurgedItem]:
        """Remove up to `rows` rows of deleted chats and applications. Returns those that are empty now.

        An item that was deleted after `before` (RFC 3339) loses its rows but is not returned yet, because
        late records may still arrive. An item is returned by each call until `confirm_purged` gets it.
        """
        ...

    def confirm_purged(self, purged: Iterable[PurgedItem]) -> None:
        """The index has removed these items. Only the number of a chat stays taken."""
        ...


class Store(Protocol):
    """MySQL, by role. Each method of a role is one transaction, and any can raise `UnavailableError`.

    Times are RFC 3339 in UTC with milliseconds.
    """

    @property
    def applications(self) -> Applications: ...

    @property
    def chats(self) -> Chats: ...

    @property
    def messages(self) -> Messages: ...

    @property
    def read_markers(self) -> ReadMarkers: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def persistence(self) -> Persistence: ...

    @property
    def purge(self) -> Purge: ...

    def ping(self) -> None:
        """Raises `UnavailableError` unless the server responds and the tables exist."""
        ...


class Queues(Protocol):
    """SQS. Any call can raise `UnavailableError`."""

    def send(self, records: Iterable[AnyRecord]) -> None:
        """Hand records to the queues of their types, as few sends as fit."""
        ...

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        """Put a record that can never succeed into the queue's dead-letter queue, with the reason."""
        ...

    def dead_letters(self) -> dict[str, int]:
        """About how many records are in the dead-letter queue of each queue."""
        ...

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        """Say after how many seconds failed records come again."""
        ...

    def ping(self) -> None: ...


class SearchIndex(Protocol):
    """OpenSearch."""

    def index(self, documents: Sequence[Document]) -> list[tuple[Document, str]]:
        """Index states; newer revisions win. Returns those refused for good, with the reason.

        Raises `UnavailableError` where some may succeed later.
        """
        ...

    def purge(self, token: str, chat: int | None) -> None:
        """Remove everything of a chat, or of an application."""
        ...

    def search(self, query: Query) -> SearchPage: ...

    def ping(self) -> None: ...


class Metrics(Protocol):
    """Metrics of one invocation. `of` is the value of the dimension that the metric names, if any."""

    def count(self, metric: Metric, value: int = 1, dimension: str | None = None) -> None:
        """Add to what this invocation has counted."""
        ...

    def measure(self, metric: Metric, value: float, dimension: str | None = None) -> None:
        """Note a value, in the metric's unit."""
        ...

    def flush(self, service: str) -> None:
        """Write out what was noted. Entrypoints do this once, at the end of an invocation."""
        ...


class Ports(Protocol):
    """All of the above, as a use case is given them. The bootstrap makes each at its first use."""

    @property
    def clock(self) -> Clock: ...

    @property
    def sequencer(self) -> Sequencer: ...

    @property
    def store(self) -> Store: ...

    @property
    def queues(self) -> Queues: ...

    @property
    def index(self) -> SearchIndex: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def lease_window(self) -> int:
        """How many numbers a lease gives."""
        ...
