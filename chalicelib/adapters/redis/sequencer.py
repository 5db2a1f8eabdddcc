"""Redis as the `Sequencer`: each method is one script or one pipeline of plain reads."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.adapters.redis import keys
from chalicelib.adapters.redis.codec import (
    application_not_cached,
    fragment,
    parse_entry,
    parse_lease,
    parse_left,
    parse_limited,
    parse_not_ready,
    parse_releasing,
    parse_replayed,
    state_type,
)
from chalicelib.adapters.redis.connection import Scripts
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import (
    Accepted,
    ApplicationNotCached,
    Counter,
    EditPrecondition,
    LeaseGrant,
    LeaseReleasing,
    NotReady,
    PendingPage,
)
from chalicelib.domain.limits import (
    IDEMPOTENCY_KEY_KEPT_SECONDS,
    MAX_PENDING_OF_APPLICATION,
    MAX_PENDING_OF_CHAT,
)
from chalicelib.domain.models import Application, Chat, Lease, Message, Pending
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.rate_limits import Bucket, RateLimit
from chalicelib.domain.times import unix_ms
from chalicelib.domain.unread import UnpersistedChat
from chalicelib.usecases.ports import Clock

# Longer than a begin takes, shorter than a client's patience: who was killed in between holds up others
# for no longer than this.
_OTHERS_WAIT_MS = 5_000
# An entry is overdue when its record should have been persisted long since.
OVERDUE_AFTER_MS = 60_000
# How long this memory keeps what MySQL knows better.
_APPLICATION_LIFE_SECONDS = 3_600
_DELETED_MARK_LIFE_SECONDS = 24 * 3_600
_COPY_OF_KEYS = ("memory", "asked", "key_version", "previous_until", "newer")

# Where the replies of scripts that take from buckets say what is left. Shorter ones, and others, have taken
# nothing.
_LEFT_AT = {
    b"accepted": 6,
    b"replayed": 9,
    b"pending": 3,
    b"gone": 1,
    b"limited": 1,
    b"unpersisted": 1,
}


class RedisSequencer:
    """The ledger on one Redis or Valkey. `fixed_holder` is set where the store keeps every write."""

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
        self._clock = clock
        self._window = window
        self._fixed_holder = fixed_holder
        self._most_pending_of_counter = max_pending_of_counter
        self._most_pending_of_application = max_pending_of_application

    def accept(
        self,
        counter: Counter,
        key_version: int,
        drafts: Sequence[Message] | Sequence[Chat],
        idempotency: IdempotencyKey | None,
        rate_limit: RateLimit | None = None,
    ) -> Accepted | NotReady:
        buckets = rate_limit.pending_buckets if rate_limit else ()
        nonce, created_at = secrets.token_hex(16), drafts[0].created_at
        reply = self._scripts.run(
            "accept",
            [*keys.common(counter), *_names(counter.token, idempotency, buckets)],
            [
                *self._head(counter, key_version, nonce, idempotency, created_at),
                self._window if counter.chat is None else "",
                _limits(buckets),
                *map(fragment, drafts),
            ],
        )
        _note_left(reply, rate_limit, buckets)
        if reply[0] == b"accepted":
            first, revision, lease = int(reply[1]), int(reply[2]), parse_lease(reply[3:6])
            return Accepted(first, first + len(drafts) - 1, revision, created_at, lease)
        if reply[0] == b"replayed":
            return parse_replayed(reply, state_type(counter))
        return parse_not_ready(reply, nonce)

    def edit(
        self,
        counter: Counter,
        key_version: int,
        state: Message | Chat,
        precondition: EditPrecondition,
        idempotency: IdempotencyKey | None = None,
        kept: bytes = b"",
    ) -> Accepted | NotReady:
        names, nonce = (
            [*keys.common(counter), *_names(counter.token, idempotency, ())],
            secrets.token_hex(16),
        )
        if state.deleted_at:
            of_chat = Counter(counter.token, state.number)
            names.append(keys.counter(of_chat) if counter.chat is None else keys.deletions(counter))
        reply = self._scripts.run(
            "edit",
            names,
            [
                *self._head(counter, key_version, nonce, idempotency, state.created_at),
                kept,
                state.number,
                precondition.revision,
                precondition.edits,
                precondition.epoch,
                _DELETED_MARK_LIFE_SECONDS * 1000,
                fragment(state),
            ],
        )
        if reply[0] == b"accepted":
            number, revision, lease = int(reply[1]), int(reply[2]), parse_lease(reply[3:6])
            return Accepted(number, number, revision, state.created_at, lease)
        if reply[0] == b"replayed":
            return parse_replayed(reply, state_type(counter))
        return parse_not_ready(reply, nonce)

    def read_pending(
        self,
        counter: Counter,
        key_version: int,
        page: PageRequest,
        idempotency: IdempotencyKey | None = None,
        rate_limit: RateLimit | None = None,
    ) -> PendingPage | ApplicationNotCached:
        buckets = rate_limit.pending_buckets if rate_limit else ()
        reply = self._scripts.run(
            "read_pending",
            [
                keys.application(counter.token),
                keys.counter(counter),
                keys.pending(counter),
                keys.pending(Counter(counter.token)),
                *_names(counter.token, idempotency, buckets),
            ],
            [
                key_version,
                "" if counter.chat is None else counter.chat,
                "-inf" if page.after is None else f"({page.after}",
                "+inf" if page.before is None else f"({page.before}",
                "asc" if page.ascending else "desc",
                page.limit + 1,
                idempotency.fingerprint if idempotency else "",
                _limits(buckets),
                self._fixed_holder,
                secrets.token_hex(16),
            ],
        )
        _note_left(reply, rate_limit, buckets)
        if reply[0] == b"replayed":
            before = parse_replayed(reply, state_type(counter))
            return PendingPage(pending=(), cut=False, known=True, edits=0, replayed=before)
        if reply[0] != b"pending":
            return application_not_cached(reply)
        entries = tuple(
            parse_entry(entry, state_type(counter)) for entry in reply[4 : 4 + page.limit]
        )
        return PendingPage(
            pending=entries,
            cut=len(reply) - 4 > page.limit,
            known=bool(reply[1]),
            edits=int(reply[2]),
        )

    def read_unpersisted(
        self,
        token: str,
        key_version: int,
        chats: Sequence[int],
        rate_limit: RateLimit | None = None,
    ) -> dict[int, UnpersistedChat] | ApplicationNotCached:
        buckets = rate_limit.pending_buckets if rate_limit else ()
        counters = [Counter(token, chat) for chat in chats]
        of_chat = (keys.counter, keys.pending, keys.deletions)
        reply = self._scripts.run(
            "read_unpersisted",
            [
                keys.application(token),
                keys.pending(Counter(token)),
                *(name(counter) for counter in counters for name in of_chat),
                *_names(token, None, buckets),
            ],
            [key_version, self._fixed_holder, secrets.token_hex(16), _limits(buckets), *chats],
        )
        _note_left(reply, rate_limit, buckets)
        if reply[0] != b"unpersisted":
            return application_not_cached(reply)
        return {
            chat: UnpersistedChat(known == 1, known == -1, int(last), tuple(map(int, deletions)))
            for chat, (known, last, deletions) in zip(chats, reply[2:], strict=True)
        }

    def cache_application(self, application: Application, nonce: str) -> bool:
        until = application.previous_key_until
        taken = self._scripts.run(
            "cache_application",
            [keys.application(application.token)],
            [
                self._fixed_holder,
                nonce,
                application.key_version,
                0 if until is None else unix_ms(until),
                _APPLICATION_LIFE_SECONDS * 1000,
            ],
        )
        return bool(taken)

    def invalidate_key_cache(self, token: str) -> None:
        # One command, and what marks a deletion stays.
        self._pipeline([("HDEL", keys.application(token), *_COPY_OF_KEYS)])

    def block_application(self, token: str) -> None:
        name = keys.application(token)
        self._pipeline([("HSET", name, "deleted", 1), ("EXPIRE", name, _DELETED_MARK_LIFE_SECONDS)])

    def block_chats(self, token: str, numbers: Sequence[int]) -> None:
        names = [keys.counter(Counter(token, number)) for number in numbers]
        self._pipeline(
            [
                command
                for n in names
                for command in (
                    ("HSET", n, "deleted", 1),
                    ("EXPIRE", n, _DELETED_MARK_LIFE_SECONDS),
                )
            ]
        )

    def install_lease(self, counter: Counter, nonce: str, grant: LeaseGrant) -> bool:
        lease = grant.lease
        taken = self._scripts.run(
            "install_lease",
            [keys.counter(counter), keys.nonce(counter), keys.idle(counter.token)],
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
        return bool(taken)

    def discard_lease(self, counter: Counter, lease: Lease) -> None:
        self._scripts.run("discard_lease", [keys.counter(counter)], [lease.holder, lease.epoch])

    def abandon_nonce(self, counter: Counter, nonce: str) -> None:
        self._scripts.run("abandon_nonce", [keys.nonce(counter)], [nonce, self._fixed_holder])

    def is_acquiring(self, counter: Counter, nonce: str) -> bool:
        [left] = self._pipeline([("GET", keys.nonce(counter))])
        return bool(left) and left.startswith(f"{nonce}|".encode())

    def list_idle(self, tokens: Sequence[str], idle_ms: int, limit: int) -> list[Counter]:
        [(seconds, microseconds)] = self._pipeline([("TIME",)])
        before = int(seconds) * 1000 + int(microseconds) // 1000 - idle_ms
        replies = self._pipeline(
            [("ZRANGEBYSCORE", keys.idle(t), "-inf", before, "LIMIT", 0, limit) for t in tokens]
        )
        return [
            Counter(token, int(member) or None)
            for token, members in zip(tokens, replies, strict=True)
            for member in members
        ]

    def mark_releasing(self, counter: Counter, idle_ms: int) -> LeaseReleasing | None:
        reply = self._scripts.run(
            "mark_releasing",
            [
                keys.counter(counter),
                keys.pending(counter),
                keys.idle(counter.token),
                keys.pending(Counter(counter.token)),
            ],
            [self._fixed_holder, counter.chat or 0, idle_ms],
        )
        return parse_releasing(reply) if reply else None

    def forget_released(self, counter: Counter, closing: LeaseReleasing) -> None:
        self._scripts.run(
            "forget_released",
            [keys.counter(counter), keys.idle(counter.token)],
            [closing.holder, closing.epoch, counter.chat or 0],
        )

    def forget_application(self, token: str) -> None:
        idle, due = self._pipeline(
            [("ZRANGE", keys.idle(token), 0, -1), ("ZRANGE", keys.due(token), 0, -1)]
        )
        chats = {int(member.split(b":")[0]) for member in (*idle, *due)} - {0}
        counters = [Counter(token), *(Counter(token, chat) for chat in sorted(chats))]
        of_counter = (keys.counter, keys.nonce, keys.pending, keys.deletions)
        names = [name(of) for of in counters for name in of_counter]
        self._pipeline([("UNLINK", *names, keys.due(token), keys.idle(token))])

    def extend_lease(self, counter: Counter, lease: Lease) -> None:
        self._scripts.run(
            "extend_lease", [keys.counter(counter)], [lease.holder, lease.epoch, lease.ceiling]
        )

    def acknowledge(self, acknowledged: Mapping[Counter, Mapping[int, int]]) -> None:
        calls: list[tuple[list[str], list[str | int]]] = []
        for counter, revisions in acknowledged.items():
            pairs = [value for pair in revisions.items() for value in pair]
            names = [keys.pending(counter), keys.due(counter.token), keys.idle(counter.token)]
            if counter.chat is None:
                names += [keys.counter(Counter(counter.token, number)) for number in revisions]
            else:
                names.append(keys.deletions(counter))
            calls.append((names, [counter.chat or 0, self._fixed_holder, *pairs]))
        self._scripts.run_each("acknowledge", calls)

    def list_overdue(self, tokens: Sequence[str], limit: int) -> list[tuple[Counter, int]]:
        now = self._clock.now_ms()
        replies = self._pipeline(
            [("ZRANGEBYSCORE", keys.due(t), "-inf", now, "LIMIT", 0, limit) for t in tokens]
        )
        return [
            _member(token, member)
            for token, members in zip(tokens, replies, strict=True)
            for member in members
        ]

    def get_pending(self, counter: Counter, numbers: Sequence[int]) -> list[Pending]:
        name = keys.pending(counter)
        replies = self._pipeline([("ZRANGEBYSCORE", name, n, n) for n in numbers])
        return [parse_entry(entry, state_type(counter)) for entries in replies for entry in entries]

    def postpone(self, counter: Counter, due_at_ms: dict[int, int]) -> None:
        name, chat = keys.due(counter.token), counter.chat or 0
        self._pipeline([("ZADD", name, "XX", due, f"{chat}:{n}") for n, due in due_at_ms.items()])

    def oldest_pending(self, tokens: Sequence[str]) -> int | None:
        # Due first: accepted first. Due last: the pause after a repair is as long as the entry was old.
        asked = [(t, end) for t in tokens for end in (0, -1)]
        replies = self._pipeline([("ZRANGE", keys.due(t), end, end) for t, end in asked])
        ends = [
            _member(token, member)
            for (token, _), members in zip(asked, replies, strict=True)
            for member in members
        ]
        found = self._pipeline([("ZRANGEBYSCORE", keys.pending(of), n, n) for of, n in ends])
        return min(
            (
                parse_entry(entry, state_type(of)).accepted_at_ms
                for (of, _), entries in zip(ends, found, strict=True)
                for entry in entries
            ),
            default=None,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._scripts.close()

    def ping(self) -> None:
        self._pipeline([("PING",)])

    def _head(
        self,
        counter: Counter,
        key_version: int,
        nonce: str,
        idempotency: IdempotencyKey | None,
        created_at: str,
    ) -> list[str | int]:
        """ARGV 1 to 12 of the scripts that accept."""
        now = self._clock.now_ms()
        chat = "" if counter.chat is None else counter.chat
        return [
            key_version,
            self._fixed_holder,
            nonce,
            _OTHERS_WAIT_MS,
            chat,
            now,
            now + OVERDUE_AFTER_MS,
            self._most_pending_of_counter,
            self._most_pending_of_application,
            idempotency.fingerprint if idempotency else "",
            IDEMPOTENCY_KEY_KEPT_SECONDS * 1000,
            created_at,
        ]

    def _pipeline(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        with self._scripts.calling(), self._scripts.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return pipeline.execute()


def _names(token: str, idempotency: IdempotencyKey | None, buckets: Sequence[Bucket]) -> list[str]:
    """The keys of a request's Idempotency-Key, where it has one, and of its buckets."""
    idempotency_keys = (
        [keys.idempotency_record(token, idempotency.key, idempotency.user)] if idempotency else []
    )
    return idempotency_keys + [keys.bucket(token, bucket) for bucket in buckets]


def _limits(buckets: Sequence[Bucket]) -> str:
    return " ".join(f"{bucket.rate}/{bucket.size}" for bucket in buckets)


def _note_left(reply: list[bytes], rate_limit: RateLimit | None, buckets: Sequence[Bucket]) -> None:
    """Tell the allowance what was taken. Raises `RateLimitedError` where a bucket has too little."""
    at = _LEFT_AT.get(reply[0])
    if not rate_limit or not buckets or at is None or at >= len(reply):
        return
    left = parse_left(reply[at], buckets)
    if reply[0] == b"limited":
        rate_limit.refused(*left)
        raise parse_limited(reply, buckets)
    rate_limit.taken(*left)


def _member(token: str, member: bytes) -> tuple[Counter, int]:
    """The counter and the number that a member of the set of due times stands for."""
    chat, number = map(int, member.split(b":"))
    return Counter(token, chat or None), number
