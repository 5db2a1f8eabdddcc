"""Redis as the `Ledger`: each method is one script or one pipeline of plain reads."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.adapters.redis import keys
from chalicelib.adapters.redis.codec import (
    fragment,
    need_application,
    parse_closing,
    parse_entry,
    parse_lease,
    parse_left,
    parse_limited,
    parse_need,
    parse_replayed,
    state_type,
)
from chalicelib.adapters.redis.connection import Scripts
from chalicelib.domain.idempotency import IdempotencyMark
from chalicelib.domain.leases import (
    Accepted,
    Basis,
    Begun,
    Counter,
    Look,
    Need,
    NeedApplication,
    NeedClose,
)
from chalicelib.domain.limits import (
    IDEMPOTENCY_KEY_KEPT_SECONDS,
    MAX_PENDING_OF_APPLICATION,
    MAX_PENDING_OF_CHAT,
)
from chalicelib.domain.models import Application, Chat, Lease, Message, Pending
from chalicelib.domain.paging import Page
from chalicelib.domain.rate_limits import Allowance, Bucket
from chalicelib.domain.times import unix_ms
from chalicelib.domain.unread import Ahead
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
_LEFT_AT = {b"accepted": 6, b"replayed": 9, b"look": 3, b"gone": 1, b"limited": 1, b"ahead": 1}


class RedisLedger:
    """The ledger on one Redis or Valkey. `fixed_holder` is set where the store keeps every write."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        window: int,
        fixed_holder: str = "",
        most_pending_of_counter: int = MAX_PENDING_OF_CHAT,
        most_pending_of_application: int = MAX_PENDING_OF_APPLICATION,
    ) -> None:
        self._scripts = Scripts(url)
        self._clock = clock
        self._window = window
        self._fixed_holder = fixed_holder
        self._most_pending_of_counter = most_pending_of_counter
        self._most_pending_of_application = most_pending_of_application

    def accept(
        self,
        counter: Counter,
        key_version: int,
        drafts: Sequence[Message] | Sequence[Chat],
        mark: IdempotencyMark | None,
        allowance: Allowance | None = None,
    ) -> Accepted | Need:
        buckets = allowance.untaken if allowance else ()
        nonce, created_at = secrets.token_hex(16), drafts[0].created_at
        reply = self._scripts.run(
            "accept",
            [*keys.common(counter), *_names(counter.token, mark, buckets)],
            [
                *self._head(counter, key_version, nonce, mark, created_at),
                self._window if counter.chat is None else "",
                _limits(buckets),
                *map(fragment, drafts),
            ],
        )
        _note_left(reply, allowance, buckets)
        if reply[0] == b"accepted":
            first, revision, lease = int(reply[1]), int(reply[2]), parse_lease(reply[3:6])
            return Accepted(first, first + len(drafts) - 1, revision, created_at, lease)
        if reply[0] == b"replayed":
            return parse_replayed(reply, state_type(counter))
        return parse_need(reply, nonce)

    def edit(
        self,
        counter: Counter,
        key_version: int,
        state: Message | Chat,
        basis: Basis,
        mark: IdempotencyMark | None = None,
        kept: bytes = b"",
    ) -> Accepted | Need:
        names, nonce = (
            [*keys.common(counter), *_names(counter.token, mark, ())],
            secrets.token_hex(16),
        )
        if state.deleted_at:
            of_chat = Counter(counter.token, state.number)
            names.append(keys.counter(of_chat) if counter.chat is None else keys.deletions(counter))
        reply = self._scripts.run(
            "edit",
            names,
            [
                *self._head(counter, key_version, nonce, mark, state.created_at),
                kept,
                state.number,
                basis.revision,
                basis.edits,
                basis.epoch,
                _DELETED_MARK_LIFE_SECONDS * 1000,
                fragment(state),
            ],
        )
        if reply[0] == b"accepted":
            number, revision, lease = int(reply[1]), int(reply[2]), parse_lease(reply[3:6])
            return Accepted(number, number, revision, state.created_at, lease)
        if reply[0] == b"replayed":
            return parse_replayed(reply, state_type(counter))
        return parse_need(reply, nonce)

    def look(
        self,
        counter: Counter,
        key_version: int,
        page: Page,
        mark: IdempotencyMark | None = None,
        allowance: Allowance | None = None,
    ) -> Look | NeedApplication:
        buckets = allowance.untaken if allowance else ()
        reply = self._scripts.run(
            "look",
            [
                keys.application(counter.token),
                keys.counter(counter),
                keys.pending(counter),
                keys.pending(Counter(counter.token)),
                *_names(counter.token, mark, buckets),
            ],
            [
                key_version,
                "" if counter.chat is None else counter.chat,
                "-inf" if page.after is None else f"({page.after}",
                "+inf" if page.before is None else f"({page.before}",
                "asc" if page.ascending else "desc",
                page.limit + 1,
                mark.fingerprint if mark else "",
                _limits(buckets),
                self._fixed_holder,
                secrets.token_hex(16),
            ],
        )
        _note_left(reply, allowance, buckets)
        if reply[0] == b"replayed":
            before = parse_replayed(reply, state_type(counter))
            return Look(pending=(), cut=False, known=True, edits=0, replayed=before)
        if reply[0] != b"look":
            return need_application(reply)
        entries = tuple(
            parse_entry(entry, state_type(counter)) for entry in reply[4 : 4 + page.limit]
        )
        return Look(
            pending=entries,
            cut=len(reply) - 4 > page.limit,
            known=bool(reply[1]),
            edits=int(reply[2]),
        )

    def ahead(
        self,
        token: str,
        key_version: int,
        chats: Sequence[int],
        allowance: Allowance | None = None,
    ) -> dict[int, Ahead] | NeedApplication:
        buckets = allowance.untaken if allowance else ()
        counters = [Counter(token, chat) for chat in chats]
        of_chat = (keys.counter, keys.pending, keys.deletions)
        reply = self._scripts.run(
            "ahead",
            [
                keys.application(token),
                keys.pending(Counter(token)),
                *(name(counter) for counter in counters for name in of_chat),
                *_names(token, None, buckets),
            ],
            [key_version, self._fixed_holder, secrets.token_hex(16), _limits(buckets), *chats],
        )
        _note_left(reply, allowance, buckets)
        if reply[0] != b"ahead":
            return need_application(reply)
        return {
            chat: Ahead(known == 1, known == -1, int(last), tuple(map(int, deletions)))
            for chat, (known, last, deletions) in zip(chats, reply[2:], strict=True)
        }

    def remember_application(self, application: Application, nonce: str) -> bool:
        until = application.previous_key_until
        taken = self._scripts.run(
            "remember_application",
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

    def forget_key(self, token: str) -> None:
        # One command, and what marks a deletion stays.
        self._pipeline([("HDEL", keys.application(token), *_COPY_OF_KEYS)])

    def forget_application(self, token: str) -> None:
        name = keys.application(token)
        self._pipeline([("HSET", name, "deleted", 1), ("EXPIRE", name, _DELETED_MARK_LIFE_SECONDS)])

    def forget_chats(self, token: str, numbers: Sequence[int]) -> None:
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

    def install_lease(self, counter: Counter, nonce: str, begun: Begun) -> bool:
        lease = begun.lease
        taken = self._scripts.run(
            "install_lease",
            [keys.counter(counter), keys.nonce(counter), keys.quiet(counter.token)],
            [
                nonce,
                self._fixed_holder,
                lease.holder,
                lease.epoch,
                begun.floor,
                lease.ceiling,
                counter.chat or 0,
            ],
        )
        return bool(taken)

    def release_lease(self, counter: Counter, lease: Lease) -> None:
        self._scripts.run("release_lease", [keys.counter(counter)], [lease.holder, lease.epoch])

    def drop_nonce(self, counter: Counter, nonce: str) -> None:
        self._scripts.run("drop_nonce", [keys.nonce(counter)], [nonce, self._fixed_holder])

    def is_beginning(self, counter: Counter, nonce: str) -> bool:
        [left] = self._pipeline([("GET", keys.nonce(counter))])
        return bool(left) and left.startswith(f"{nonce}|".encode())

    def quiet(self, tokens: Sequence[str], quiet_ms: int, limit: int) -> list[Counter]:
        [(seconds, microseconds)] = self._pipeline([("TIME",)])
        before = int(seconds) * 1000 + int(microseconds) // 1000 - quiet_ms
        replies = self._pipeline(
            [("ZRANGEBYSCORE", keys.quiet(t), "-inf", before, "LIMIT", 0, limit) for t in tokens]
        )
        return [
            Counter(token, int(member) or None)
            for token, members in zip(tokens, replies, strict=True)
            for member in members
        ]

    def start_closing(self, counter: Counter, quiet_ms: int) -> NeedClose | None:
        reply = self._scripts.run(
            "start_closing",
            [
                keys.counter(counter),
                keys.pending(counter),
                keys.quiet(counter.token),
                keys.pending(Counter(counter.token)),
            ],
            [self._fixed_holder, counter.chat or 0, quiet_ms],
        )
        return parse_closing(reply) if reply else None

    def finish_closing(self, counter: Counter, closing: NeedClose) -> None:
        self._scripts.run(
            "finish_closing",
            [keys.counter(counter), keys.quiet(counter.token)],
            [closing.holder, closing.epoch, counter.chat or 0],
        )

    def erase_application(self, token: str) -> None:
        quiet, due = self._pipeline(
            [("ZRANGE", keys.quiet(token), 0, -1), ("ZRANGE", keys.due(token), 0, -1)]
        )
        chats = {int(member.split(b":")[0]) for member in (*quiet, *due)} - {0}
        counters = [Counter(token), *(Counter(token, chat) for chat in sorted(chats))]
        of_counter = (keys.counter, keys.nonce, keys.pending, keys.deletions)
        names = [name(of) for of in counters for name in of_counter]
        self._pipeline([("UNLINK", *names, keys.due(token), keys.quiet(token))])

    def raise_lease(self, counter: Counter, lease: Lease) -> None:
        self._scripts.run(
            "raise_lease", [keys.counter(counter)], [lease.holder, lease.epoch, lease.ceiling]
        )

    def settle(self, settled: Mapping[Counter, Mapping[int, int]]) -> None:
        calls: list[tuple[list[str], list[str | int]]] = []
        for counter, revisions in settled.items():
            pairs = [value for pair in revisions.items() for value in pair]
            names = [keys.pending(counter), keys.due(counter.token), keys.quiet(counter.token)]
            if counter.chat is None:
                names += [keys.counter(Counter(counter.token, number)) for number in revisions]
            else:
                names.append(keys.deletions(counter))
            calls.append((names, [counter.chat or 0, self._fixed_holder, *pairs]))
        self._scripts.run_each("settle", calls)

    def overdue(self, tokens: Sequence[str], limit: int) -> list[tuple[Counter, int]]:
        now = self._clock.now_ms()
        replies = self._pipeline(
            [("ZRANGEBYSCORE", keys.due(t), "-inf", now, "LIMIT", 0, limit) for t in tokens]
        )
        return [
            _member(token, member)
            for token, members in zip(tokens, replies, strict=True)
            for member in members
        ]

    def take_overdue(self, counter: Counter, numbers: Sequence[int]) -> list[Pending]:
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
        mark: IdempotencyMark | None,
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
            mark.fingerprint if mark else "",
            IDEMPOTENCY_KEY_KEPT_SECONDS * 1000,
            created_at,
        ]

    def _pipeline(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        with self._scripts.calling(), self._scripts.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return pipeline.execute()


def _names(token: str, mark: IdempotencyMark | None, buckets: Sequence[Bucket]) -> list[str]:
    """The keys of a request's Idempotency-Key, where it has one, and of its buckets."""
    marks = [keys.mark(token, mark.key, mark.user)] if mark else []
    return marks + [keys.bucket(token, bucket) for bucket in buckets]


def _limits(buckets: Sequence[Bucket]) -> str:
    return " ".join(f"{bucket.rate}/{bucket.size}" for bucket in buckets)


def _note_left(reply: list[bytes], allowance: Allowance | None, buckets: Sequence[Bucket]) -> None:
    """Tell the allowance what was taken. Raises `RateLimitedError` where a bucket has too little."""
    at = _LEFT_AT.get(reply[0])
    if not allowance or not buckets or at is None or at >= len(reply):
        return
    left = parse_left(reply[at], buckets)
    if reply[0] == b"limited":
        allowance.refused(*left)
        raise parse_limited(reply, buckets)
    allowance.taken(*left)


def _member(token: str, member: bytes) -> tuple[Counter, int]:
    """The counter and the number that a member of the set of due times stands for."""
    chat, number = map(int, member.split(b":"))
    return Counter(token, chat or None), number
