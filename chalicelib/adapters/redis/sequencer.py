"""Redis as the `Sequencer`: each method is one script or one pipeline of plain reads."""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import batched
from typing import Any

from chalicelib.adapters.redis.codec import (
    Charges,
    accepted_at_ms,
    application_key,
    common_keys,
    counter_key,
    deletions_key,
    due_key,
    edited_key,
    fragment,
    idempotency_record_key,
    idle_key,
    nonce_key,
    parse_accepted,
    parse_entry,
    parse_not_cached,
    parse_not_ready,
    parse_releasing,
    parse_replayed,
    pending_key,
    usage_key,
    version_type,
)
from chalicelib.adapters.redis.connection import Scripts
from chalicelib.domain.auth import Tenant
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import (
    Accepted,
    ApplicationNotCached,
    Counter,
    EditPrecondition,
    LeaseGrant,
    LeaseMissing,
    LeaseReleasing,
    NotReady,
    PendingPage,
)
from chalicelib.domain.limits import (
    ASSUMED_MEMORY_BYTES,
    DELETION_COST_OF_CHAT,
    IDEMPOTENCY_KEY_LIFETIME_SECONDS,
    MAX_MEMORY_PERCENT_OF_APPLICATION,
    MAX_MEMORY_PERCENT_OF_USER,
    MAX_PENDING_OF_APPLICATION,
    MAX_PENDING_OF_CHAT,
)
from chalicelib.domain.models import (
    Application,
    AppToken,
    Chat,
    ChatNumber,
    Lease,
    Message,
    Pending,
    Timestamp,
)
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.rate_limits import cost_of
from chalicelib.domain.times import unix_ms
from chalicelib.domain.unread import UnpersistedChat, UnpersistedChats
from chalicelib.usecases.ports import Clock

# How long other callers wait for the one that acquires a lease. Acquiring takes less, and a client waits
# longer; if the caller was killed, the others go on after this time.
_OTHERS_WAIT_MS = 5_000
# A pending version is overdue if it was not persisted this long after it was accepted.
OVERDUE_AFTER_MS = 60_000
# An entry has up to 128 KB, so these are at most 5 MB.
_ENTRIES_PER_CALL = 40
_COUNTERS_PER_CALL = 500
# How long Redis stores copies of what MySQL knows, and the fields of the cached keys.
_APPLICATION_LIFE_SECONDS = 3_600
_BLOCK_SECONDS = 24 * 3_600
# Of a page of pending versions: as much as fits into a response, if each character is one or two bytes.
MAX_PENDING_BYTES_OF_PAGE = 1_000_000
# For how long a chat that MySQL does not have is known not to exist.
_ABSENT_MS = 3_000
_MEMORY_SHARES = (
    f"{MAX_MEMORY_PERCENT_OF_APPLICATION}/{MAX_MEMORY_PERCENT_OF_USER}/{ASSUMED_MEMORY_BYTES}"
)
_COPY_OF_KEYS = ("memory", "asked", "key_version", "previous_until", "newer")

# Holds every lease when the store keeps every acknowledged write over a failover: any node may issue numbers.
FIXED_HOLDER = "the-store-keeps-writes"


class RedisSequencer:
    """The `Sequencer` on one Redis, Valkey or cluster.

    `fixed_holder` is set if the server keeps every acknowledged write over a failover: then it holds its
    leases under this name, and a failover does not make a new incarnation.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        window: int,
        fixed_holder: str = "",
        max_pending_of_counter: int = MAX_PENDING_OF_CHAT,
        max_pending_of_application: int = MAX_PENDING_OF_APPLICATION,
    ) -> None:
        self._scripts = Scripts(url)
        self._charges = Charges()
        self._clock = clock
        self._window = window
        self._fixed_holder = fixed_holder
        self._max_pending_of_counter = max_pending_of_counter
        self._max_pending_of_application = max_pending_of_application

    def accept(
        self,
        tenant: Tenant,
        counter: Counter,
        drafts: Sequence[Message] | Sequence[Chat],
        idempotency: IdempotencyKey | None = None,
    ) -> Accepted | NotReady:
        nonce, created_at = secrets.token_hex(16), drafts[0].created_at
        fragments = [fragment(draft) for draft in drafts]
        user = idempotency.user if idempotency else None
        charge = self._charges.of_write(tenant, user, cost_of(map(len, fragments)))
        reply = self._scripts.run(
            "accept",
            [*common_keys(counter), *charge.keys, *_idempotency_keys(tenant, idempotency)],
            [
                *self._head(tenant, counter, nonce, idempotency, created_at),
                self._window if counter.chat is None else "",
                charge.limits,
                _MEMORY_SHARES,
                *fragments,
            ],
        )
        remaining = self._charges.confirm(charge, reply)
        if reply[0] == b"accepted":
            return parse_accepted(reply, len(drafts), created_at, remaining)
        if reply[0] == b"replayed":
            return parse_replayed(reply, version_type(counter), remaining)
        return parse_not_ready(reply, nonce, remaining)

    def edit(
        self,
        tenant: Tenant,
        counter: Counter,
        version: Message | Chat,
        precondition: EditPrecondition,
        idempotency: IdempotencyKey | None = None,
        stored_response: bytes = b"",
    ) -> Accepted | NotReady:
        nonce, created_at = secrets.token_hex(16), version.created_at
        json = fragment(version)
        user = idempotency.user if idempotency else None
        is_chat_deletion = counter.chat is None and version.deleted_at is not None
        cost = DELETION_COST_OF_CHAT if is_chat_deletion else cost_of([len(json)])
        # The read before the edit has taken one.
        charge = self._charges.of_write(tenant, user, cost - 1)
        names = [
            *common_keys(counter),
            edited_key(counter),
            *charge.keys,
            *_idempotency_keys(tenant, idempotency),
        ]
        if version.deleted_at:
            deleted_chat = Counter(counter.token, ChatNumber(version.number))
            names.append(
                counter_key(deleted_chat) if counter.chat is None else deletions_key(counter)
            )
        reply = self._scripts.run(
            "edit",
            names,
            [
                *self._head(tenant, counter, nonce, idempotency, created_at),
                stored_response,
                version.number,
                precondition.revision,
                precondition.edits,
                precondition.epoch,
                _BLOCK_SECONDS * 1000,
                json,
                charge.limits,
                _MEMORY_SHARES,
            ],
        )
        remaining = self._charges.confirm(charge, reply)
        if reply[0] == b"accepted":
            return parse_accepted(reply, 1, created_at, remaining)
        if reply[0] == b"replayed":
            return parse_replayed(reply, version_type(counter), remaining)
        return parse_not_ready(reply, nonce, remaining)

    def read_pending(
        self,
        tenant: Tenant,
        counter: Counter,
        page: PageRequest,
        idempotency: IdempotencyKey | None = None,
        cost: int = 1,
    ) -> PendingPage | ApplicationNotCached:
        charge = self._charges.of_read(tenant, cost)
        reply = self._scripts.run(
            "read_pending",
            [
                application_key(counter.token),
                counter_key(counter),
                pending_key(counter),
                pending_key(Counter(counter.token)),
                *charge.keys,
                *_idempotency_keys(tenant, idempotency),
            ],
            [
                tenant.key_version,
                "" if counter.chat is None else counter.chat,
                "-inf" if page.after is None else f"({page.after}",
                "+inf" if page.before is None else f"({page.before}",
                "asc" if page.ascending else "desc",
                page.limit,
                idempotency.fingerprint if idempotency else "",
                charge.limits,
                self._fixed_holder,
                secrets.token_hex(16),
                MAX_PENDING_BYTES_OF_PAGE,
            ],
        )
        remaining = self._charges.confirm(charge, reply)
        if reply[0] == b"replayed":
            replayed = parse_replayed(reply, version_type(counter), ())
            return PendingPage((), False, True, 0, replayed=replayed, remaining=remaining)
        if reply[0] != b"pending":
            return parse_not_cached(reply, remaining)
        truncated = len(reply) > 5 and not reply[-1]
        entries = reply[5:-1] if truncated else reply[5:]
        return PendingPage(
            pending=tuple(parse_entry(entry, version_type(counter)) for entry in entries),
            truncated=truncated,
            known=bool(reply[2]),
            edits=int(reply[3]),
            last=int(reply[4]) if reply[4] else None,
            remaining=remaining,
        )

    def read_unpersisted(
        self, tenant: Tenant, chats: Sequence[ChatNumber]
    ) -> UnpersistedChats | ApplicationNotCached:
        token = tenant.token
        counters = [Counter(token, chat) for chat in chats]
        chat_keys = (counter_key, pending_key, deletions_key)
        charge = self._charges.of_read(tenant, 1)
        reply = self._scripts.run(
            "read_unpersisted",
            [
                application_key(token),
                pending_key(Counter(token)),
                *(key(counter) for counter in counters for key in chat_keys),
                *charge.keys,
            ],
            [
                tenant.key_version,
                self._fixed_holder,
                secrets.token_hex(16),
                charge.limits,
                *chats,
            ],
        )
        remaining = self._charges.confirm(charge, reply)
        if reply[0] != b"unpersisted":
            return parse_not_cached(reply, remaining)
        unpersisted = {
            chat: UnpersistedChat(known == 1, known == -1, int(last), tuple(map(int, deletions)))
            for chat, (known, last, deletions) in zip(chats, reply[2:], strict=True)
        }
        return UnpersistedChats(unpersisted, remaining)

    def cache_application(self, application: Application, nonce: str) -> bool:
        until = application.previous_key_until
        cached = self._scripts.run(
            "cache_application",
            [application_key(application.token)],
            [
                self._fixed_holder,
                nonce,
                application.key_version,
                0 if until is None else unix_ms(until),
                _APPLICATION_LIFE_SECONDS * 1000,
            ],
        )
        return bool(cached)

    def invalidate_key_cache(self, token: AppToken) -> None:
        # One command. The field `deleted` of a blocked application stays.
        self._pipeline([("HDEL", application_key(token), *_COPY_OF_KEYS)])

    def block_application(self, token: AppToken) -> None:
        self._block([application_key(token)])

    def block_chats(self, token: AppToken, numbers: Sequence[ChatNumber]) -> None:
        self._block([counter_key(Counter(token, number)) for number in numbers])

    def install_lease(self, counter: Counter, nonce: str, grant: LeaseGrant) -> bool:
        lease = grant.lease
        installed = self._scripts.run(
            "install_lease",
            [counter_key(counter), nonce_key(counter), idle_key(counter.token)],
            [
                nonce,
                self._fixed_holder,
                lease.holder,
                lease.epoch,
                grant.floor,
                lease.ceiling,
                counter.chat or 0,
            ],
        )
        return bool(installed)

    def discard_lease(self, counter: Counter, lease: Lease) -> None:
        self._scripts.run("discard_lease", [counter_key(counter)], [lease.holder, lease.epoch])

    def abandon_nonce(self, counter: Counter, nonce: str, absent: bool = False) -> None:
        self._scripts.run(
            "abandon_nonce",
            [nonce_key(counter), counter_key(counter), pending_key(Counter(counter.token))],
            [nonce, self._fixed_holder, counter.chat or 0, _ABSENT_MS if absent else 0],
        )

    def is_acquiring(self, counter: Counter, missing: LeaseMissing) -> bool:
        # A chat that has a row is pending, or had its counter when it was acknowledged: the order matters.
        chat, chats = counter.chat or 0, Counter(counter.token)
        entries, holder, nonce = self._pipeline(
            [
                ("ZRANGEBYSCORE", pending_key(chats), chat, chat),
                ("HGET", counter_key(counter), "holder"),
                ("GET", nonce_key(counter)),
            ]
        )
        me = missing.holder
        if holder == me.encode() or any(_has_first_lease(entry, me) for entry in entries):
            return False
        return bool(nonce) and nonce.startswith(f"{missing.nonce}|".encode())

    def list_idle(self, tokens: Sequence[AppToken], idle_ms: int, limit: int) -> list[Counter]:
        if not tokens:
            return []
        before = self._scripts.server_ms(idle_key(tokens[0])) - idle_ms
        replies = self._pipeline(
            [("ZRANGEBYSCORE", idle_key(t), "-inf", before, "LIMIT", 0, limit) for t in tokens]
        )
        return [
            Counter(token, ChatNumber(int(member)) or None)
            for token, members in zip(tokens, replies, strict=True)
            for member in members
        ]

    def mark_releasing(
        self, counters: Iterable[Counter], idle_ms: int
    ) -> dict[Counter, LeaseReleasing]:
        marked = list(counters)
        calls: list[tuple[list[str], list[str | int]]] = [
            (
                [
                    counter_key(counter),
                    pending_key(counter),
                    idle_key(counter.token),
                    pending_key(Counter(counter.token)),
                ],
                [self._fixed_holder, counter.chat or 0, idle_ms],
            )
            for counter in marked
        ]
        replies = self._scripts.run_each("mark_releasing", calls)
        return {
            counter: parse_releasing(reply)
            for counter, reply in zip(marked, replies, strict=True)
            if reply
        }

    def forget_released(self, released: Mapping[Counter, LeaseReleasing]) -> None:
        calls: list[tuple[list[str], list[str | int]]] = [
            (
                [counter_key(counter), idle_key(counter.token), nonce_key(counter)],
                [releasing.holder, releasing.epoch, counter.chat or 0],
            )
            for counter, releasing in released.items()
        ]
        self._scripts.run_each("forget_released", calls)

    def forget_application(self, token: AppToken) -> None:
        counter_keys = (counter_key, nonce_key, pending_key, deletions_key, edited_key)
        for name in (idle_key(token), due_key(token)):
            while members := self._pipeline([("ZRANGE", name, 0, _COUNTERS_PER_CALL - 1)])[0]:
                chats = {int(member.split(b":")[0]) for member in members}
                counters = [Counter(token, ChatNumber(chat) or None) for chat in sorted(chats)]
                names = [key(counter) for counter in counters for key in counter_keys]
                self._pipeline([("UNLINK", *names), ("ZREM", name, *members)])
        names = [key(Counter(token)) for key in counter_keys]
        self._pipeline([("UNLINK", *names, usage_key(token))])

    def extend_lease(self, counter: Counter, lease: Lease) -> None:
        self._scripts.run(
            "extend_lease", [counter_key(counter)], [lease.holder, lease.epoch, lease.ceiling]
        )

    def acknowledge(self, acknowledged: Mapping[Counter, Mapping[int, int]]) -> None:
        calls: list[tuple[list[str], list[str | int]]] = []
        for counter, revisions in acknowledged.items():
            pairs = [value for pair in revisions.items() for value in pair]
            names = [
                pending_key(counter),
                due_key(counter.token),
                idle_key(counter.token),
                usage_key(counter.token),
            ]
            if counter.chat is None:
                names += [
                    counter_key(Counter(counter.token, ChatNumber(number))) for number in revisions
                ]
            else:
                names.append(deletions_key(counter))
            calls.append((names, [counter.chat or 0, self._fixed_holder, *pairs]))
        self._scripts.run_each("acknowledge", calls)

    def list_overdue(self, tokens: Sequence[AppToken], limit: int) -> list[tuple[Counter, int]]:
        now = self._clock.now_ms()
        replies = self._pipeline(
            [("ZRANGEBYSCORE", due_key(t), "-inf", now, "LIMIT", 0, limit) for t in tokens]
        )
        return [
            _due_number(token, member)
            for token, members in zip(tokens, replies, strict=True)
            for member in members
        ]

    def get_pending(self, numbers: Mapping[Counter, Sequence[int]]) -> dict[Counter, list[Pending]]:
        wanted = [(counter, n) for counter, own in numbers.items() for n in own]
        replies = self._pipeline(
            [("ZRANGEBYSCORE", pending_key(counter), n, n) for counter, n in wanted]
        )
        pending: dict[Counter, list[Pending]] = {counter: [] for counter in numbers}
        for (counter, _), entries in zip(wanted, replies, strict=True):
            pending[counter] += (parse_entry(entry, version_type(counter)) for entry in entries)
        return pending

    def postpone(self, due_at_ms: Mapping[Counter, Mapping[int, int]]) -> None:
        pairs: dict[AppToken, list[str | int]] = {}
        for counter, due in due_at_ms.items():
            chat = counter.chat or 0
            for number, at in due.items():
                pairs.setdefault(counter.token, []).extend((at, f"{chat}:{number}"))
        self._scripts.run_each(
            "postpone", [([due_key(token)], args) for token, args in pairs.items()]
        )

    def oldest_pending(self, tokens: Sequence[AppToken]) -> int | None:
        # The first one due was accepted first, unless it was repaired: then it is due last, because the pause
        # after a repair is as long as the version was pending before.
        firsts = self._pipeline([("ZRANGE", due_key(token), 0, 0) for token in tokens])
        due = [token for token, members in zip(tokens, firsts, strict=True) if members]
        if not due:
            return None
        lasts = self._pipeline([("ZRANGE", due_key(token), -1, -1) for token in due])
        numbers: dict[Counter, set[int]] = {}
        for token, members in [*zip(tokens, firsts, strict=True), *zip(due, lasts, strict=True)]:
            for counter, number in (_due_number(token, member) for member in members):
                numbers.setdefault(counter, set()).add(number)
        return min(self._accepted_at_ms(numbers), default=None)

    def _accepted_at_ms(self, numbers: Mapping[Counter, Collection[int]]) -> Iterator[int]:
        """When pending versions were accepted. An entry contains the version, so few are read at once."""
        for part in batched(numbers.items(), _ENTRIES_PER_CALL // 2):
            commands = [
                ("ZRANGEBYSCORE", pending_key(counter), n, n) for counter, own in part for n in own
            ]
            for entries in self._pipeline(commands):
                yield from (accepted_at_ms(entry) for entry in entries)

    def close(self) -> None:
        """Close the connections."""
        self._scripts.close()

    def ping(self) -> None:
        self._scripts.ping()

    def by_node(self, tokens: Iterable[AppToken]) -> dict[str, list[AppToken]]:
        groups: dict[str, list[AppToken]] = {}
        for token in tokens:
            groups.setdefault(self._scripts.node_of(application_key(token)), []).append(token)
        return groups

    def _head(
        self,
        tenant: Tenant,
        counter: Counter,
        nonce: str,
        idempotency: IdempotencyKey | None,
        created_at: Timestamp,
    ) -> list[str | int]:
        """ARGV 1 to 12 of the scripts that accept."""
        now = self._clock.now_ms()
        chat = "" if counter.chat is None else counter.chat
        return [
            tenant.key_version,
            self._fixed_holder,
            nonce,
            _OTHERS_WAIT_MS,
            chat,
            now,
            now + OVERDUE_AFTER_MS,
            self._max_pending_of_counter,
            self._max_pending_of_application,
            idempotency.fingerprint if idempotency else "",
            IDEMPOTENCY_KEY_LIFETIME_SECONDS * 1000,
            created_at,
        ]

    def _block(self, names: Sequence[str]) -> None:
        if names:
            self._scripts.run("block", names, [_BLOCK_SECONDS * 1000])

    def _pipeline(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        return self._scripts.send(commands)


def _idempotency_keys(tenant: Tenant, idempotency: IdempotencyKey | None) -> list[str]:
    if idempotency is None:
        return []
    return [idempotency_record_key(tenant.token, idempotency.key, idempotency.user)]


def _due_number(token: AppToken, member: bytes) -> tuple[Counter, int]:
    """The counter and the number that a member of the set of due times names."""
    chat, number = map(int, member.split(b":"))
    return Counter(token, ChatNumber(chat) or None), number


def _has_first_lease(entry: bytes, holder: str) -> bool:
    """Whether the entry of a chat has the first lease of its messages for this holder."""
    chat = parse_entry(entry, Chat).version
    return isinstance(chat, Chat) and bool(
        chat.messages_lease and chat.messages_lease.holder == holder
    )
