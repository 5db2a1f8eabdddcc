"""The ports of the use cases. Each has one adapter in `chalicelib/adapters` and one fake in `tests/fakes`."""

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
from chalicelib.domain.models import (
    Application,
    AppToken,
    Chat,
    ChatNumber,
    ChatRow,
    Epoch,
    Lease,
    ListedApplication,
    ListedPage,
    Message,
    MessageNumber,
    Pending,
    PurgedItem,
    PurgeStep,
    RoundState,
    Timestamp,
)
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import ApplicationCursor, PageRequest
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    Document,
    MessagesRecord,
    RefusedDocument,
)
from chalicelib.domain.search import Query, SearchPage
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnpersistedChats, UnreadCount


class Clock(Protocol):
    """The time. A use case pauses only with `wait`."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        ...

    def wait(self, seconds: float) -> None: ...


class Sequencer(Protocol):
    """Redis: counters with their leases, pending versions, Idempotency-Keys, rate limits. A call is a script.

    Any call can raise `UnavailableError`. The calls of a tenant raise `UnauthenticatedError` if its key is
    not valid any more, and `NotFoundError` if the application was deleted. If the key is valid, they take
    from the tenant's buckets, whatever follows, and return what is left in `remaining`, also with an error
    and with `NotReady`. They raise `RateLimitedError`, and take nothing, if a bucket has too little.

    The calls that accept also raise `BackpressureError` if too much is pending, `RateLimitedError` if too
    much is stored for a day, `NotFoundError` if it was found a moment ago that there is no such chat, and
    `UnavailableError` if too many requests wait for the same lease.
    """

    def accept(
        self,
        tenant: Tenant,
        counter: Counter,
        drafts: Sequence[Message] | Sequence[Chat],
        idempotency: IdempotencyKey | None = None,
    ) -> Accepted | NotReady:
        """Give the drafts (whose number and revision are 0) their numbers, and store them as pending.

        Takes one for each draft, and more for large ones. Raises `GoneError` (the chat was deleted),
        `KeyReusedError`.
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

        A replay returns the `stored_response`, which is small. Under a lease that is older than the newest
        one, nothing is accepted: the result is `NotReady`. Takes what a large version costs beyond the one
        that the read before it took. Raises `ConflictError` if another edit came first, `GoneError`,
        `KeyReusedError`.
        """
        ...

    def read_pending(
        self,
        tenant: Tenant,
        counter: Counter,
        page: PageRequest,
        idempotency: IdempotencyKey | None = None,
        cost: int = 1,
    ) -> PendingPage | ApplicationNotCached:
        """The pending versions of a page, or what an earlier request with this Idempotency-Key got.

        Takes `cost`. Raises `GoneError` (the chat was deleted), `KeyReusedError`.
        """
        ...

    def read_unpersisted(
        self, tenant: Tenant, chats: Sequence[ChatNumber]
    ) -> UnpersistedChats | ApplicationNotCached:
        """What Redis knows of these chats, and MySQL may not know yet. The chats need not exist.

        Takes one.
        """
        ...

    def cache_application(self, application: Application, nonce: str) -> bool:
        """Store for an hour which keys are valid. False if the copy was refused.

        Redis takes the copy only if it still has the nonce of `ApplicationNotCached`. So it refuses a copy
        that was read before the key was changed, or for another incarnation.
        """
        ...

    def invalidate_key_cache(self, token: AppToken) -> None:
        """The keys were changed: the next request reads them from MySQL. Earlier copies are refused."""
        ...

    def block_application(self, token: AppToken) -> None:
        """The application was deleted: refuse all its requests."""
        ...

    def block_chats(self, token: AppToken, numbers: Sequence[ChatNumber]) -> None:
        """The deletion of these chats is persisted: refuse all requests to them."""
        ...

    def install_lease(self, counter: Counter, nonce: str, grant: LeaseGrant) -> bool:
        """Install a lease that MySQL granted, if nonce and incarnation are unchanged. False if not."""
        ...

    def discard_lease(self, counter: Counter, lease: Lease) -> None:
        """Drop a lease that MySQL does not extend any more; the next `accept` acquires a new one."""
        ...

    def abandon_nonce(self, counter: Counter, nonce: str, absent: bool = False) -> None:
        """Stop acquiring, so that others need not wait. Only allowed if MySQL certainly granted nothing.

        If `absent`, MySQL does not have the chat: for three seconds `accept` and `edit` raise
        `NotFoundError`, unless the chat is created meanwhile.
        """
        ...

    def is_acquiring(self, counter: Counter, missing: LeaseMissing) -> bool:
        """Whether the counter is still missing, and no other caller has taken over.

        False as well if the chat was created meanwhile: then its counter has its first lease.
        """
        ...

    def list_idle(self, tokens: Sequence[AppToken], idle_ms: int, limit: int) -> list[Counter]:
        """Counters without a pending version for `idle_ms`: up to `limit` of each application."""
        ...

    def mark_releasing(
        self, counters: Iterable[Counter], idle_ms: int
    ) -> dict[Counter, LeaseReleasing]:
        """Issue no numbers any more of those counters that are idle and of which nothing is pending.

        A counter of which something is pending counts as idle from now on, at the earliest.
        """
        ...

    def forget_released(self, released: Mapping[Counter, LeaseReleasing]) -> None:
        """Remove counters whose leases were given back; the next `accept` acquires a new one."""
        ...

    def forget_application(self, token: AppToken) -> None:
        """Remove all counters of a purged application."""
        ...

    def extend_lease(self, counter: Counter, lease: Lease) -> None:
        """Take a higher ceiling, if holder and epoch are unchanged."""
        ...

    def acknowledge(self, acknowledged: Mapping[Counter, Mapping[int, int]]) -> None:
        """Drop the pending versions of each counter (number → revision), unless a newer one is pending.

        This is one script for each counter, and it may run twice.
        """
        ...

    def by_node(self, tokens: Iterable[AppToken]) -> dict[str, list[AppToken]]:
        """The applications by the name of the node that has their keys. Nodes fail one by one.

        A call for applications of several nodes reaches all nodes, and raises `UnavailableError` if one of
        them does not respond.
        """
        ...

    def list_overdue(self, tokens: Sequence[AppToken], limit: int) -> list[tuple[Counter, int]]:
        """Counter and number of the pending versions that should be persisted by now.

        Up to `limit` of each application, those that are overdue for the longest time first.
        """
        ...

    def get_pending(self, numbers: Mapping[Counter, Sequence[int]]) -> dict[Counter, list[Pending]]:
        """The pending versions of these numbers, by counter."""
        ...

    def postpone(self, due_at_ms: Mapping[Counter, Mapping[int, int]]) -> None:
        """Set when pending versions, by counter and number, are overdue again. A full Redis allows it."""
        ...

    def oldest_pending(self, tokens: Sequence[AppToken]) -> int | None:
        """When the oldest pending version of these applications was accepted, in ms since 1970.

        None if nothing is pending. For up to a minute, a younger version may hide one that was resent.
        """
        ...

    def ping(self) -> None:
        """Raises `UnavailableError` if Redis does not respond."""
        ...


class Applications(Protocol):
    """Applications, and the stored responses of the requests that change them.

    Each method that takes `idempotency` stores its response in the same transaction. It raises
    `InProgressError` if another request with the same Idempotency-Key was first.
    """

    def create_application(
        self,
        token: AppToken,
        name: str,
        created_at: Timestamp,
        idempotency: IdempotentWrite | None = None,
    ) -> Application: ...

    def get_application(self, token: AppToken) -> Application | None:
        """None if it never existed or was deleted."""
        ...

    def list_applications(self, before: ApplicationCursor | None, limit: int) -> list[Application]:
        """Up to `limit` applications behind `before`, newest first; of the same time, by descending token."""
        ...

    def list_tokens(self, after: int, limit: int) -> list[ListedApplication]:
        """Up to `limit` applications, oldest first: those after the id `after`, which may be gone."""
        ...

    def rename_application(
        self, token: AppToken, name: str, idempotency: IdempotentWrite | None = None
    ) -> Application | None:
        """None if it does not exist."""
        ...

    def rotate_key(
        self,
        token: AppToken,
        version: int,
        previous_until: Timestamp | None,
        idempotency: IdempotentWrite | None = None,
    ) -> Application | None:
        """Give the application the key version `version + 1`, if `version` is its newest.

        `version` stays valid until `previous_until` (RFC 3339), older versions become invalid. None if
        `version` is not the newest, or if the application does not exist.
        """
        ...

    def delete_application(
        self, token: AppToken, at: Timestamp, idempotency: IdempotentWrite | None = None
    ) -> bool:
        """Set its `deleted_at`; `Purge` removes its content later. False if it does not exist."""
        ...

    def find_response(self, idempotency: IdempotentWrite) -> bytes | None:
        """The response to a request with this key in the last 24 hours.

        It is the application as JSON, or `b""` for a deletion. None if no such request has ended. Raises
        `KeyReusedError` if that request had another fingerprint.
        """
        ...

    def delete_responses(self, before: Timestamp, rows: int) -> int:
        """Remove up to `rows` responses that were stored before then. Returns how many."""
        ...


class Chats(Protocol):
    """Chats with their counts. A stub counts as a chat."""

    def get_chat(self, token: AppToken, number: ChatNumber) -> ChatRow | None:
        """A deleted chat has its `deleted_at`. None if it has no row or its application was deleted."""
        ...

    def existing_chats(
        self, chats: Collection[tuple[AppToken, ChatNumber]]
    ) -> set[tuple[AppToken, ChatNumber]]:
        """Those of these chats (token, number) that have a row and are not deleted.

        Chats of a deleted application count as deleted.
        """
        ...

    def list_chats(self, token: AppToken, page: PageRequest, limit: int) -> list[ChatRow]:
        """Up to `limit` chats of the page that are not deleted, in the order of the page."""
        ...


class Messages(Protocol):
    """Messages of one chat, and its change feed. A deleted chat has no messages and no changes."""

    def get_message(
        self, token: AppToken, chat: ChatNumber, number: MessageNumber
    ) -> Message | None:
        """A deleted message has its `deleted_at`. None if it has no row."""
        ...

    def list_messages(
        self, token: AppToken, chat: ChatNumber, page: PageRequest, limit: int
    ) -> list[Message]:
        """Up to `limit` messages of the page that are not deleted, in the order of the page.

        If they do not fit into a response, the list ends with the first one that does not.
        """
        ...

    def list_changes(
        self, token: AppToken, chat: ChatNumber, since: Since, limit: int
    ) -> list[Change]:
        """Up to `limit` changes after `since`, by position and number. Deleted messages are included.

        If they do not fit into a response, the list ends with the first one that does not.

        A version that is stored later has a higher position than every listed change.
        """
        ...

    def revisions(self, numbers: Mapping[Counter, Sequence[int]]) -> dict[Counter, dict[int, int]]:
        """The stored revisions of these numbers, for each counter of one application.

        Numbers without a row, and stubs, are left out.
        """
        ...


class ReadMarkers(Protocol):
    """How far users have read."""

    def mark_read(self, token: AppToken, user: str, marker: ReadMarker, pending_last: int) -> None:
        """Move a user's marker up, never back.

        It goes up to `marker.number`, but not above the highest number that is stored or pending
        (`pending_last`). The chat may have no row yet. Nothing happens if the chat or the application was
        deleted.
        """
        ...

    def list_read_markers(
        self, token: AppToken, user: str, page: PageRequest, limit: int
    ) -> list[ReadMarker]:
        """Up to `limit` markers of a user, by chat number. Those in deleted chats are left out."""
        ...

    def count_unread(
        self,
        token: AppToken,
        markers: Sequence[ReadMarker],
        unpersisted: Mapping[ChatNumber, UnpersistedChat],
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

    def lease_epoch(self, counter: Counter) -> Epoch | None:
        """The epoch of the newest lease. None if the chat (or the application) has no row."""
        ...

    def acquire_lease(
        self, counter: Counter, missing: LeaseMissing, epoch: Epoch, window: int, at: Timestamp
    ) -> LeaseGrant | None:
        """Grant `missing.holder` the `window` numbers above the highest ceiling, with the epoch `epoch + 1`.

        If the newest grant was to one of `missing.abandoned_nonces`, its numbers are granted again.
        Otherwise the numbers below it that have no row are recorded as skipped since `at` (RFC 3339). None
        if the row does not exist. Raises `ConflictError` if `epoch` is not the newest any more.
        """
        ...

    def extend_lease(
        self, counter: Counter, lease: Lease, window: int, at: Timestamp
    ) -> Lease | None:
        """Raise the ceiling to `window` above `lease.ceiling`, if holder and epoch are unchanged.

        Never lowers the ceiling. Returns the lease with its new ceiling; None if there is a newer lease. An
        incarnation that has `lease` has accepted the chat. So if the chat has no row yet, this creates its
        stub, with `at` (RFC 3339) as the time of creation until the chat's own record arrives.
        """
        ...

    def release_leases(self, releasing: Mapping[Counter, LeaseReleasing]) -> None:
        """Take back the numbers above each counter's `last`, if holder and epoch are unchanged.

        Deleted chats and applications are left out.
        """
        ...

    def skipped_numbers(self, token: AppToken, chat: ChatNumber) -> list[NumberRange]:
        """The message numbers that were skipped and still have no row, in ascending order."""
        ...

    def chat_may_arrive(
        self, token: AppToken, number: ChatNumber, chats: IssuedUpTo | None, since: Timestamp
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
    """Removes what was deleted, in small steps, so that nothing of it stays in the search index."""

    def list_purgeable(self, after: int, before: Timestamp) -> ListedPage:
        """Applications after the id `after` that were deleted before then, or have a chat that was.

        The page may be empty although it is not the end.
        """
        ...

    def remove_rows(self, token: AppToken, before: Timestamp, rows: int) -> PurgeStep:
        """Remove up to `rows` messages, and not more than 5 MB, of what was deleted before `before`.

        Takes no lock that a worker waits for. The step returns the chats that are empty now, or the
        application itself. It returns them again until `confirm_purged` gets them.
        """
        ...

    def confirm_purged(self, purged: Sequence[PurgedItem]) -> None:
        """The index has removed these items of one application. Only the number of a chat stays taken.

        A chat whose row is locked is left for the next step.
        """
        ...


class Rounds(Protocol):
    """How far the tasks of the schedule have come on their rounds over all applications."""

    def get_round(self, task: str) -> RoundState: ...

    def save_round(self, task: str, state: RoundState) -> None: ...


class Store(Protocol):
    """MySQL, by role. Each method of a role is one transaction.

    Any can raise `OutageError`, and `UnavailableError` if other transactions are in the way.

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

    @property
    def rounds(self) -> Rounds: ...

    def ping(self) -> None:
        """Raises `UnavailableError` unless the server responds and the tables exist."""
        ...


class Queues(Protocol):
    """SQS. Any call can raise `OutageError`, and `UnavailableError` if SQS refuses the record."""

    def send(self, records: Iterable[AnyRecord]) -> None:
        """Send each record to the queue of its type, in as few requests as possible."""
        ...

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        """Put a record that can never succeed into the queue's dead-letter queue, with the reason."""
        ...

    def dead_letters(self) -> dict[str, int]:
        """The approximate number of records in the dead-letter queue of each queue."""
        ...

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        """Set after how many seconds SQS delivers these records again."""
        ...

    def ping(self) -> None:
        """Raises `UnavailableError` if SQS does not respond."""
        ...


class SearchIndex(Protocol):
    """OpenSearch. Any call can raise `OutageError`, and `UnavailableError` if the request is the cause."""

    def index(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Index versions; the newest revision wins. Returns those that it did not take."""
        ...

    def refresh(self) -> None:
        """Make what was indexed visible to searches and removals. This is work for all applications."""
        ...

    def purge(self, token: AppToken, chats: Sequence[ChatNumber] | None) -> bool:
        """Remove visible documents of some chats, or of an application (`chats` is None).

        One call has a limit. False if there may be more: then refresh, and call it again.
        """
        ...

    def search(self, query: Query) -> SearchPage:
        """A page of hits. Raises `InvalidError` for a broken cursor."""
        ...

    def ping(self) -> None:
        """Raises `UnavailableError` if OpenSearch does not respond."""
        ...


class Metrics(Protocol):
    """The metrics of one invocation. `dimension` is the value of the dimension that the metric names."""

    def count(self, metric: Metric, value: int = 1, dimension: str | None = None) -> None:
        """Add to the count of this invocation."""
        ...

    def measure(self, metric: Metric, value: float, dimension: str | None = None) -> None:
        """Add a value, in the unit of the metric."""
        ...

    def flush(self, service: str) -> None:
        """Write the metrics. The entrypoints call this once, at the end of an invocation."""
        ...


class Ports(Protocol):
    """All ports, as a use case gets them. The bootstrap makes each adapter at its first use."""

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
