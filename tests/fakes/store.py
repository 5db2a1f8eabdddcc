"""The `Store` port in memory. It counts messages and chats when it is read, and caches no counts."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps

import msgspec

from chalicelib.domain.change_feed import Change, Since
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    InProgressError,
    KeyReusedError,
    PoisonError,
)
from chalicelib.domain.idempotency import IdempotentWrite
from chalicelib.domain.leases import (
    Counter,
    IssuedUpTo,
    LeaseGrant,
    LeaseMissing,
    LeaseReleasing,
    PersistedChats,
    PersistedMessages,
)
from chalicelib.domain.limits import IDEMPOTENCY_KEY_LIFETIME_SECONDS, MAX_TITLE_CHARS
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
    PurgedItem,
    PurgeStep,
    Revision,
    RoundState,
    Timestamp,
)
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import ApplicationCursor, PageRequest, fit_to_response
from chalicelib.domain.queue_records import ChatsRecord, Document, MessagesRecord
from chalicelib.domain.times import rfc3339
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnreadCount
from chalicelib.usecases.ports import (
    Applications,
    Chats,
    Leases,
    Messages,
    Persistence,
    Purge,
    ReadMarkers,
    Rounds,
)

_NO_EPOCH = Epoch(0)


@dataclass
class _Numbering:
    """The lease of a counter, and its skipped numbers with the time of recording."""

    holder: str = ""
    epoch: Epoch = _NO_EPOCH
    floor: int = 0
    ceiling: int = 0
    nonce: str = ""
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def raise_ceiling(self, leases: Iterable[Lease]) -> None:
        oldest_epoch = self.epoch if self.holder else self.epoch + 1
        ceilings = (lease.ceiling for lease in leases if lease.epoch >= oldest_epoch)
        self.ceiling = max([self.ceiling, *ceilings])

    def extend(self, leases: Iterable[Lease], last: int, window: int) -> Lease | None:
        leases = list(leases)
        self.raise_ceiling(leases)
        is_used = any((lease.holder, lease.epoch) == (self.holder, self.epoch) for lease in leases)
        if not is_used or 2 * (self.ceiling - last) >= window:
            return None
        self.ceiling = last + window
        return Lease(self.holder, self.epoch, self.ceiling)


@dataclass
class _Chat:
    version: Chat
    numbering: _Numbering
    messages: dict[int, Message] = field(default_factory=dict)
    last: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    last_position: int = 0
    purged: bool = False

    def row(self) -> ChatRow:
        deleted = self.version.deleted_at is not None
        count = sum(message.deleted_at is None for message in self.messages.values())
        return ChatRow(
            chat=self.version,
            messages_count=0 if deleted else count,
            last_message_number=self.last,
        )


@dataclass
class _Application:
    id: int
    token: AppToken
    name: str
    created_at: Timestamp
    key_version: int = 1
    previous_key_until: Timestamp | None = None
    deleted_at: Timestamp | None = None
    numbering: _Numbering = field(default_factory=_Numbering)
    chats: dict[ChatNumber, _Chat] = field(default_factory=dict)
    readers: dict[tuple[str, ChatNumber], int] = field(default_factory=dict)

    def shown(self) -> Application:
        return Application(
            token=self.token,
            name=self.name,
            chats_count=sum(chat.version.deleted_at is None for chat in self.chats.values()),
            created_at=self.created_at,
            key_version=self.key_version,
            previous_key_until=self.previous_key_until,
            deleted_at=self.deleted_at,
        )


def _transaction[**P, T](method: Callable[P, T]) -> Callable[P, T]:
    """Run one call at a time, as if each call locked all rows."""

    @wraps(method)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with _LOCK:
            return method(*args, **kwargs)

    return locked


_LOCK = threading.RLock()


class FakeStore:
    """The `Store` port with all its roles in one object.

    It passes the same suite as MySQL: `tests/contract/test_store.py`.
    """

    def __init__(self) -> None:
        self._applications: dict[AppToken, _Application] = {}
        self._last_id = 0
        self._responses: dict[tuple[str, str], tuple[IdempotentWrite, bytes]] = {}
        self._rounds: dict[str, RoundState] = {}

    @property
    def applications(self) -> Applications:
        return self

    @property
    def chats(self) -> Chats:
        return self

    @property
    def messages(self) -> Messages:
        return self

    @property
    def read_markers(self) -> ReadMarkers:
        return self

    @property
    def leases(self) -> Leases:
        return self

    @property
    def persistence(self) -> Persistence:
        return self

    @property
    def purge(self) -> Purge:
        return self

    @property
    def rounds(self) -> Rounds:
        return self

    def ping(self) -> None:
        pass

    def _alive(self, token: AppToken) -> _Application | None:
        application = self._applications.get(token)
        return application if application and application.deleted_at is None else None

    def _chat(self, token: AppToken, number: ChatNumber) -> _Chat | None:
        application = self._alive(token)
        return application.chats.get(number) if application else None

    def _open_chat(self, token: AppToken, number: ChatNumber) -> _Chat | None:
        chat = self._chat(token, number)
        return chat if chat and chat.version.deleted_at is None else None

    @_transaction
    def create_application(
        self,
        token: AppToken,
        name: str,
        created_at: Timestamp,
        idempotency: IdempotentWrite | None = None,
    ) -> Application:
        self._last_id += 1
        application = _Application(self._last_id, token, name, created_at)
        self._store_response(idempotency, msgspec.json.encode(application.shown()))
        self._applications[token] = application
        return application.shown()

    @_transaction
    def get_application(self, token: AppToken) -> Application | None:
        application = self._alive(token)
        return application.shown() if application else None

    @_transaction
    def list_applications(self, before: ApplicationCursor | None, limit: int) -> list[Application]:
        cursors = sorted(
            (ApplicationCursor(a.created_at, token) for token, a in self._applications.items()),
            key=lambda cursor: (cursor.created_at, cursor.token),
            reverse=True,
        )
        older = [
            self._applications[cursor.token].shown()
            for cursor in cursors
            if before is None
            or (cursor.created_at, cursor.token) < (before.created_at, before.token)
        ]
        return [application for application in older if self._alive(application.token)][:limit]

    @_transaction
    def list_tokens(self, after: int, limit: int) -> list[ListedApplication]:
        return [
            ListedApplication(application.id, token)
            for token, application in self._applications.items()
            if application.id > after and self._alive(token)
        ][:limit]

    @_transaction
    def rename_application(
        self, token: AppToken, name: str, idempotency: IdempotentWrite | None = None
    ) -> Application | None:
        application = self._alive(token)
        if application is None:
            return None
        shown = msgspec.structs.replace(application.shown(), name=name)
        self._store_response(idempotency, msgspec.json.encode(shown))
        application.name = name
        return shown

    @_transaction
    def rotate_key(
        self,
        token: AppToken,
        version: int,
        previous_until: Timestamp | None,
        idempotency: IdempotentWrite | None = None,
    ) -> Application | None:
        application = self._alive(token)
        if application is None or application.key_version != version:
            return None
        rotated = msgspec.structs.replace(
            application.shown(), key_version=version + 1, previous_key_until=previous_until
        )
        self._store_response(idempotency, msgspec.json.encode(rotated))
        application.key_version, application.previous_key_until = version + 1, previous_until
        return rotated

    @_transaction
    def delete_application(
        self, token: AppToken, at: Timestamp, idempotency: IdempotentWrite | None = None
    ) -> bool:
        application = self._alive(token)
        if application is None:
            return False
        self._store_response(idempotency, b"")
        application.deleted_at = at
        return True

    def _store_response(self, idempotency: IdempotentWrite | None, response: bytes) -> None:
        if idempotency is None:
            return
        if self._response(idempotency):
            raise InProgressError("a request with this Idempotency-Key is under way")
        self._responses[idempotency.scope, idempotency.key.key] = (idempotency, response)

    def _response(self, idempotency: IdempotentWrite) -> tuple[IdempotentWrite, bytes] | None:
        stored = self._responses.get((idempotency.scope, idempotency.key.key))
        lifetime_ms = IDEMPOTENCY_KEY_LIFETIME_SECONDS * 1000
        return stored if stored and stored[0].now_ms >= idempotency.now_ms - lifetime_ms else None

    @_transaction
    def find_response(self, idempotency: IdempotentWrite) -> bytes | None:
        stored = self._response(idempotency)
        if stored and stored[0].key.fingerprint != idempotency.key.fingerprint:
            raise KeyReusedError("the Idempotency-Key was used for another request")
        return stored[1] if stored else None

    @_transaction
    def delete_responses(self, before: Timestamp, rows: int) -> int:
        old = [
            key
            for key, (idempotency, _) in self._responses.items()
            if rfc3339(idempotency.now_ms) < before
        ]
        for key in old[:rows]:
            del self._responses[key]
        return len(old[:rows])

    def _numbering(self, counter: Counter) -> tuple[_Numbering, set[int]] | None:
        """The counter's numbering and the numbers that have a row."""
        application = self._applications.get(counter.token)
        if application is None:
            return None
        if application.deleted_at is not None:
            raise GoneError("the application was deleted")
        if counter.chat is None:
            return application.numbering, set(application.chats)
        chat = application.chats.get(counter.chat)
        if chat is None:
            return None
        if chat.version.deleted_at is not None:
            raise GoneError("the chat was deleted")
        return chat.numbering, set(chat.messages)

    @_transaction
    def lease_epoch(self, counter: Counter) -> Epoch | None:
        counted = self._numbering(counter)
        return counted[0].epoch if counted else None

    @_transaction
    def acquire_lease(
        self, counter: Counter, missing: LeaseMissing, epoch: Epoch, window: int, at: Timestamp
    ) -> LeaseGrant | None:
        counted = self._numbering(counter)
        if counted is None:
            return None
        numbering, used = counted
        if numbering.epoch != epoch:
            raise ConflictError("another lease was acquired meanwhile")
        is_new_range = (
            numbering.holder != missing.holder or numbering.nonce not in missing.abandoned_nonces
        )
        lost = is_new_range and numbering.holder != ""
        skipped: list[tuple[int, str]] = []
        if is_new_range:
            missing_numbers = range(numbering.floor + 1, numbering.ceiling + 1)
            skipped = [(number, at) for number in missing_numbers if number not in used]
            numbering.skipped += skipped
            numbering.floor, numbering.ceiling = numbering.ceiling, numbering.ceiling + window
        numbering.holder, numbering.epoch, numbering.nonce = (
            missing.holder,
            Epoch(epoch + 1),
            missing.nonce,
        )
        lease = Lease(missing.holder, numbering.epoch, numbering.ceiling)
        return LeaseGrant(numbering.floor, lease, lost, len(skipped))

    @_transaction
    def release_leases(self, releasing: Mapping[Counter, LeaseReleasing]) -> None:
        for counter, lease in releasing.items():
            with suppress(GoneError):
                counted = self._numbering(counter)
                if counted and (counted[0].holder, counted[0].epoch) == (lease.holder, lease.epoch):
                    counted[0].ceiling, counted[0].holder, counted[0].nonce = lease.last, "", ""

    @_transaction
    def extend_lease(
        self, counter: Counter, lease: Lease, window: int, at: Timestamp
    ) -> Lease | None:
        counted = self._numbering(counter)
        if counted is None:
            application = self._applications.get(counter.token)
            if application is None or counter.chat is None:
                raise GoneError("the application was deleted")
            self._create_stub(application, counter.chat, lease, at)
            counted = self._numbering(counter)
            assert counted is not None
        numbering = counted[0]
        if (numbering.holder, numbering.epoch) != (lease.holder, lease.epoch):
            return None
        numbering.ceiling = max(numbering.ceiling, lease.ceiling + window)
        return msgspec.structs.replace(lease, ceiling=numbering.ceiling)

    @_transaction
    def chat_may_arrive(
        self, token: AppToken, number: int, chats: IssuedUpTo | None, since: Timestamp
    ) -> bool:
        application = self._alive(token)
        if application is None:
            return False
        numbering = application.numbering
        is_skipped = any(number == skipped and at < since for skipped, at in numbering.skipped)
        newest = (numbering.holder, numbering.epoch)
        is_newest = chats is not None and (chats.holder, chats.epoch) == newest
        last = chats.last if chats and is_newest else numbering.ceiling
        return number <= last and not is_skipped

    @_transaction
    def skipped_numbers(self, token: AppToken, chat: ChatNumber) -> list[NumberRange]:
        open_chat = self._open_chat(token, chat)
        numbers = (
            [n for n, _ in open_chat.numbering.skipped if n not in open_chat.messages]
            if open_chat
            else []
        )
        ranges: list[NumberRange] = []
        for number in sorted(numbers):
            if ranges and ranges[-1].last == number - 1:
                ranges[-1] = NumberRange(ranges[-1].first, number)
            else:
                ranges.append(NumberRange(number, number))
        return ranges

    @_transaction
    def persist_chats(self, records: Sequence[ChatsRecord], window: int) -> PersistedChats:
        _refuse_poison(chat.title for record in records for chat in record.chats)
        acknowledged: dict[Counter, dict[int, int]] = {}
        leases: dict[AppToken, list[Lease]] = {}
        for record in records:
            for chat in record.chats:
                leases.setdefault(record.token, []).append(record.lease)
                revisions = acknowledged.setdefault(Counter(record.token), {})
                stored = self._persist_chat(record.token, chat)
                revisions[chat.number] = max(revisions.get(chat.number, 0), stored)
        extended = []
        for token, record_leases in leases.items():
            application, last = self._alive(token), max(acknowledged[Counter(token)])
            lease = (
                application.numbering.extend(record_leases, last, window) if application else None
            )
            if lease:
                extended.append((Counter(token), lease))
        return PersistedChats(tuple(extended), acknowledged)

    def _persist_chat(self, token: AppToken, chat: Chat) -> int:
        application = self._alive(token)
        if application is None:
            return chat.revision
        first = chat.messages_lease or Lease("", Epoch(0), 0)
        chat = msgspec.structs.replace(chat, messages_lease=None)
        if chat.deleted_at is not None:
            chat = msgspec.structs.replace(chat, title=None, metadata=None)
        row = application.chats.get(chat.number)
        if row is None:
            numbering = _Numbering(first.holder, first.epoch, 0, first.ceiling)
            application.chats[chat.number] = _Chat(chat, numbering)
            return chat.revision
        row.numbering.raise_ceiling([first])
        revision = max(row.version.revision, chat.revision)
        is_newer = chat.deleted_at is not None or chat.revision > row.version.revision
        if row.version.deleted_at is None and is_newer:
            row.version = msgspec.structs.replace(chat, revision=revision)
        return revision

    @_transaction
    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        _refuse_poison(m.sender for record in records for m in record.messages)
        acknowledged: dict[Counter, dict[int, int]] = {}
        leases: dict[Counter, list[Lease]] = {}
        received: set[tuple[Counter, int, int]] = set()
        versions = [(record, message) for record in records for message in record.messages]
        for record, message in sorted(versions, key=lambda pair: pair[1].revision):
            counter = Counter(record.token, record.chat)
            leases.setdefault(counter, []).append(record.lease)
            revisions = acknowledged.setdefault(counter, {})
            stored = self._persist_message(record, message)
            revisions[message.number] = max(revisions.get(message.number, 0), stored)
            received.add((counter, message.number, message.revision))
        documents: list[Document] = []
        extended: list[tuple[Counter, Lease]] = []
        for counter, revisions in acknowledged.items():
            chat = self._open_chat(counter.token, counter.chat or ChatNumber(0))
            if chat is None:
                continue
            documents += [
                Document(token=counter.token, chat=counter.chat or ChatNumber(0), message=message)
                for message in map(chat.messages.__getitem__, revisions)
                if (counter, message.number, message.revision) in received
            ]
            lease = chat.numbering.extend(leases[counter], chat.last, window)
            extended += [(counter, lease)] if lease else []
        return PersistedMessages(tuple(documents), tuple(extended), acknowledged)

    def _persist_message(self, record: MessagesRecord, message: Message) -> int:
        application = self._alive(record.token)
        if application is None:
            return message.revision
        chat = application.chats.get(record.chat)
        if chat is None:
            at = message.created_at
            chat = self._create_stub(application, record.chat, record.lease, at)
        if chat.version.deleted_at is not None:
            return message.revision
        stored = chat.messages.get(message.number)
        if stored is None or message.revision > stored.revision:
            chat.messages[message.number] = message
            chat.last_position += 1
            chat.positions[message.number] = chat.last_position
        chat.last = max(chat.last, message.number)
        return chat.messages[message.number].revision

    def _create_stub(
        self, application: _Application, number: ChatNumber, lease: Lease, at: Timestamp
    ) -> _Chat:
        stub = Chat(number=number, revision=Revision(0), created_at=at)
        chat = _Chat(stub, _Numbering(lease.holder, lease.epoch, 0, lease.ceiling))
        application.chats[number] = chat
        return chat

    @_transaction
    def get_chat(self, token: AppToken, number: ChatNumber) -> ChatRow | None:
        chat = self._chat(token, number)
        return chat.row() if chat else None

    @_transaction
    def existing_chats(
        self, chats: Collection[tuple[AppToken, ChatNumber]]
    ) -> set[tuple[AppToken, ChatNumber]]:
        return {key for key in chats if self._open_chat(*key)}

    @_transaction
    def list_chats(self, token: AppToken, page: PageRequest, limit: int) -> list[ChatRow]:
        application = self._alive(token)
        chats = application.chats if application else {}
        alive = [n for n, chat in chats.items() if chat.version.deleted_at is None]
        return [chats[number].row() for number in _of_page(alive, page)[:limit]]

    @_transaction
    def get_message(
        self, token: AppToken, chat: ChatNumber, number: MessageNumber
    ) -> Message | None:
        open_chat = self._open_chat(token, chat)
        return open_chat.messages.get(number) if open_chat else None

    @_transaction
    def list_messages(
        self, token: AppToken, chat: ChatNumber, page: PageRequest, limit: int
    ) -> list[Message]:
        open_chat = self._open_chat(token, chat)
        messages = open_chat.messages if open_chat else {}
        alive = [number for number, message in messages.items() if message.deleted_at is None]
        return _and_one_more(
            [messages[number] for number in _of_page(alive, page)[:limit]],
            lambda message: len(message.body),
        )

    @_transaction
    def list_changes(
        self, token: AppToken, chat: ChatNumber, since: Since, limit: int
    ) -> list[Change]:
        open_chat = self._open_chat(token, chat)
        messages = open_chat.messages.items() if open_chat else ()
        changes = [Change(open_chat.positions[n], message) for n, message in messages if open_chat]
        after = (since.position, since.number)
        behind = [c for c in changes if (c.position, c.message.number) > after]
        return _and_one_more(
            sorted(behind, key=lambda c: (c.position, c.message.number))[:limit],
            lambda change: len(change.message.body),
        )

    @_transaction
    def mark_read(self, token: AppToken, user: str, marker: ReadMarker, pending_last: int) -> None:
        application = self._alive(token)
        chat = self._chat(token, marker.chat)
        if application is None or (chat and chat.version.deleted_at is not None):
            return
        key = (user, marker.chat)
        number = min(marker.number, max(pending_last, chat.last if chat else 0))
        application.readers[key] = max(number, application.readers.get(key, 0))

    @_transaction
    def list_read_markers(
        self, token: AppToken, user: str, page: PageRequest, limit: int
    ) -> list[ReadMarker]:
        application = self._alive(token)
        readers = application.readers if application else {}
        chats = [
            chat
            for name, chat in readers
            if name == user and (self._open_chat(token, chat) or not self._chat(token, chat))
        ]
        return [ReadMarker(chat, readers[user, chat]) for chat in _of_page(chats, page)[:limit]]

    @_transaction
    def count_unread(
        self,
        token: AppToken,
        markers: Sequence[ReadMarker],
        unpersisted: Mapping[ChatNumber, UnpersistedChat],
    ) -> list[UnreadCount]:
        readings: list[UnreadCount] = []
        for marker in markers:
            chat, redis = self._chat(token, marker.chat), unpersisted[marker.chat]
            if redis.gone or (chat.version.deleted_at is not None if chat else not redis.known):
                continue
            last = max(marker.number, redis.last, chat.last if chat else 0)
            unread = set(range(marker.number + 1, last + 1)) - set(redis.deletions)
            if chat:
                unread -= {n for n, m in chat.messages.items() if m.deleted_at is not None}
                unread -= {n for n, _ in chat.numbering.skipped if n not in chat.messages}
            readings.append(UnreadCount(marker.chat, marker.number, len(unread), last))
        return readings

    @_transaction
    def revisions(self, numbers: Mapping[Counter, Sequence[int]]) -> dict[Counter, dict[int, int]]:
        assert len({counter.token for counter in numbers}) < 2
        return {counter: self._revisions(counter, own) for counter, own in numbers.items()}

    def _revisions(self, counter: Counter, numbers: Sequence[int]) -> dict[int, int]:
        application = self._applications.get(counter.token)
        stored: dict[int, int] = {}
        if application and counter.chat is None:
            stored = {number: chat.version.revision for number, chat in application.chats.items()}
        elif application and counter.chat in application.chats:
            messages = application.chats[counter.chat].messages
            stored = {number: message.revision for number, message in messages.items()}
        return {number: stored[number] for number in numbers if stored.get(number, 0) > 0}

    @_transaction
    def list_purgeable(self, after: int, before: Timestamp) -> ListedPage:
        listed = [
            ListedApplication(application.id, token)
            for token, application in self._applications.items()
            if application.id > after and _is_purgeable(application, before)
        ]
        return ListedPage(listed, max(after, self._last_id), is_end=True)

    @_transaction
    def remove_rows(self, token: AppToken, before: Timestamp, rows: int) -> PurgeStep:
        application = self._applications.get(token)
        if application is None:
            return PurgeStep([], is_done=True)
        is_deleted = (application.deleted_at or before) < before
        emptied: list[PurgedItem] = []
        for number, chat in list(application.chats.items()):
            if not is_deleted and not _is_purgeable_chat(chat, before):
                continue
            readers = [key for key in application.readers if key[1] == number]
            while (chat.messages or readers) and rows > 0:
                if chat.messages:
                    chat.messages.popitem()
                else:
                    del application.readers[readers.pop()]
                rows -= 1
            if rows <= 0:
                return PurgeStep(emptied, is_done=False)
            if is_deleted:
                del application.chats[number]
            else:
                emptied.append(PurgedItem(token, number))
        return PurgeStep([PurgedItem(token, None)] if is_deleted else emptied, is_done=True)

    @_transaction
    def confirm_purged(self, purged: Sequence[PurgedItem]) -> None:
        for token, number in purged:
            if number is None:
                self._applications.pop(token, None)
            elif (application := self._applications.get(token)) and number in application.chats:
                application.chats[number].purged = True

    @_transaction
    def get_round(self, task: str) -> RoundState:
        return self._rounds.get(task, RoundState())

    @_transaction
    def save_round(self, task: str, state: RoundState) -> None:
        self._rounds[task] = state


def _is_purgeable(application: _Application, before: Timestamp) -> bool:
    if application.deleted_at is not None:
        return application.deleted_at < before
    return any(_is_purgeable_chat(chat, before) for chat in application.chats.values())


def _is_purgeable_chat(chat: _Chat, before: Timestamp) -> bool:
    deleted_at = chat.version.deleted_at
    return deleted_at is not None and deleted_at < before and not chat.purged


def _and_one_more[T](items: list[T], chars: Callable[[T], int]) -> list[T]:
    """The items that fit into a response, and the first one that does not."""
    return items[: len(fit_to_response(items, chars)) + 1]


def _of_page[N: int](numbers: Iterable[N], page: PageRequest) -> list[N]:
    wanted = [
        number
        for number in numbers
        if (page.before is None or number < page.before) and number > (page.after or 0)
    ]
    return sorted(wanted, reverse=not page.ascending)


def _refuse_poison(texts: Iterable[str | None]) -> None:
    """Raise `PoisonError` for text that no column accepts."""
    if any(text is not None and len(text) > MAX_TITLE_CHARS for text in texts):
        raise PoisonError("too long for its column")
