"""A Redis server in memory: its data, and the commands that the adapter uses. Expiry follows a clock.

`tests/contract/test_redis_server.py` compares it with a real Valkey.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.usecases.ports import Clock

type Reply = Any  # bytes, int, None, or a list of them

_SYSTEM = random.SystemRandom()


class SortedSet:
    """Members by score, then by member."""

    def __init__(self, scores: dict[bytes, float] | None = None) -> None:
        self.scores = scores or {}
        self._ordered: list[tuple[float, bytes]] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def add(self, member: bytes, score: float) -> None:
        self.scores[member] = score
        self._ordered = None

    def remove(self, member: bytes) -> int:
        self._ordered = None
        return self.scores.pop(member, None) is not None

    def ordered(self) -> list[tuple[float, bytes]]:
        if self._ordered is None:
            self._ordered = sorted((score, member) for member, score in self.scores.items())
        return self._ordered

    def between(self, low: bytes, high: bytes) -> list[bytes]:
        (least, least_out), (most, most_out) = _bound(low), _bound(high)
        return [
            member
            for score, member in self.ordered()
            if (score > least if least_out else score >= least)
            and (score < most if most_out else score <= most)
        ]

    def copy(self) -> "SortedSet":
        return SortedSet(dict(self.scores))


class FullError(Exception):
    """The server is full, and the command may need memory."""

    def __init__(self) -> None:
        super().__init__("OOM command not allowed when used memory > 'maxmemory'.")


type Value = bytes | dict[bytes, bytes] | SortedSet


class Dataset:
    """The data of a server. It can be copied, as for a snapshot or a replica."""

    def __init__(self) -> None:
        self.values: dict[bytes, Value] = {}
        self.expires: dict[bytes, int] = {}

    def copy(self) -> "Dataset":
        other = Dataset()
        other.values = {
            key: value if isinstance(value, bytes) else value.copy()
            for key, value in self.values.items()
        }
        other.expires = dict(self.expires)
        return other


class RedisServer:
    """One server. Each start gives it new ids, so it is another incarnation, whatever data it has."""

    def __init__(
        self, clock: Clock, dataset: Dataset | None = None, chance: random.Random = _SYSTEM
    ) -> None:
        self._clock = clock
        self._chance = chance
        self.dataset = dataset or Dataset()
        # The memory in use, and its limit (0: there is none), as a test sets them.
        self.used_bytes = 0
        self.max_bytes = 0
        self.has_written = False
        self.start()

    def start(self) -> None:
        self.run_id, self.replid = (b"%040x" % self._chance.getrandbits(160) for _ in range(2))

    def wipe(self) -> None:
        """FLUSHALL: the data is gone, and the incarnation is the same."""
        self.dataset = Dataset()

    def execute(self, *command: Any) -> Reply:
        """One command; raises `ValueError` or `FullError` for what a server would refuse."""
        self.has_written = False
        return self.execute_in_script(*command)

    def execute_in_script(self, *command: Any) -> Reply:
        """A command of a script: a full server refuses only the first write."""
        name, *args = [part if type(part) is bytes else as_bytes(part) for part in command]
        is_full = 0 < self.max_bytes < self.used_bytes
        if is_full and name in _DENIED_IF_FULL and not self.has_written:
            raise FullError
        self.has_written = self.has_written or name in _WRITES
        return _COMMANDS[name](self, *args)

    def _value[V](self, key: bytes, kind: type[V], make: bool = False) -> V | None:
        dataset = self.dataset
        until = dataset.expires.get(key)
        if until is not None and until <= self._clock.now_ms():
            self._drop(key)
        value = dataset.values.get(key)
        if value is None and make:
            value = dataset.values[key] = kind()  # type: ignore[assignment]
        if value is not None and not isinstance(value, kind):
            raise ValueError("WRONGTYPE")
        return value

    def _drop(self, key: bytes) -> int:
        self.dataset.expires.pop(key, None)
        return self.dataset.values.pop(key, None) is not None

    def _drop_empty(self, key: bytes, value: Any) -> None:
        if not value:
            self._drop(key)

    def ping(self) -> Reply:
        return b"PONG"

    def time(self) -> Reply:
        now = self._clock.now_ms()
        return [b"%d" % (now // 1000), b"%d" % (now % 1000 * 1000)]

    def info(self, section: bytes) -> Reply:
        if section == b"server":
            return b"# Server\r\nrun_id:%s\r\n" % self.run_id
        if section == b"memory":
            return b"# Memory\r\nused_memory:%d\r\nmaxmemory:%d\r\n" % (
                self.used_bytes,
                self.max_bytes,
            )
        return b"# Replication\r\nrole:master\r\nmaster_replid:%s\r\n" % self.replid

    def get(self, key: bytes) -> Reply:
        return self._value(key, bytes)

    def set(self, key: bytes, value: bytes, *life: bytes) -> Reply:
        self._drop(key)
        self.dataset.values[key] = value
        if life:
            assert life[0].upper() == b"PX"
            self.pexpire(key, life[1])
        return b"OK"

    def delete(self, *keys: bytes) -> Reply:
        return sum(self._drop(key) for key in keys if self.exists(key))

    def exists(self, *keys: bytes) -> int:
        return sum(self._value(key, object) is not None for key in keys)

    def expire(self, key: bytes, seconds: bytes) -> Reply:
        return self.pexpire(key, b"%d" % (int(seconds) * 1000))

    def pexpire(self, key: bytes, ms: bytes) -> Reply:
        if not self.exists(key):
            return 0
        self.dataset.expires[key] = self._clock.now_ms() + int(ms)
        return 1

    def hget(self, key: bytes, field: bytes) -> Reply:
        return (self._value(key, dict) or {}).get(field)

    def hmget(self, key: bytes, *names: bytes) -> Reply:
        fields: dict[bytes, bytes] = self._value(key, dict) or {}
        return [fields.get(name) for name in names]

    def hgetall(self, key: bytes) -> Reply:
        fields: dict[bytes, bytes] = self._value(key, dict) or {}
        return [part for pair in fields.items() for part in pair]

    def hset(self, key: bytes, *pairs: bytes) -> Reply:
        if not pairs or len(pairs) % 2:
            raise ValueError("wrong number of arguments")
        fields = self._value(key, dict, make=True)
        assert fields is not None
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def hsetnx(self, key: bytes, field: bytes, value: bytes) -> Reply:
        if field in (self._value(key, dict) or {}):
            return 0
        return self.hset(key, field, value)

    def hdel(self, key: bytes, *names: bytes) -> Reply:
        fields: dict[bytes, bytes] = self._value(key, dict) or {}
        gone = sum(fields.pop(name, None) is not None for name in names)
        self._drop_empty(key, fields)
        return gone

    def hincrby(self, key: bytes, field: bytes, by: bytes) -> Reply:
        now = int((self._value(key, dict) or {}).get(field, b"0")) + int(by)
        self.hset(key, field, b"%d" % now)
        return now

    def _set(self, key: bytes) -> SortedSet:
        return self._value(key, SortedSet) or SortedSet()

    def zadd(self, key: bytes, *args: bytes) -> Reply:
        only_known = args[0].upper() == b"XX"
        pairs = args[1:] if only_known else args
        fields = self._value(key, SortedSet, make=not only_known)
        if fields is None:
            return 0
        before = len(fields)
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            if not only_known or member in fields.scores:
                fields.add(member, float(score))
        return len(fields) - before

    def zrem(self, key: bytes, *members: bytes) -> Reply:
        fields = self._set(key)
        gone = sum(fields.remove(member) for member in members)
        self._drop_empty(key, fields)
        return gone

    def zcard(self, key: bytes) -> Reply:
        return len(self._set(key))

    def zscore(self, key: bytes, member: bytes) -> Reply:
        score = self._set(key).scores.get(member)
        return None if score is None else as_bytes(score)

    def zrange(self, key: bytes, first: bytes, last: bytes, *with_scores: bytes) -> Reply:
        members = self._set(key).ordered()
        start, stop = (
            int(n) if int(n) >= 0 else max(len(members) + int(n), -(int(n) == int(last)))
            for n in (first, last)
        )
        between = members[max(start, 0) : stop + 1]
        if with_scores:
            assert with_scores == (b"WITHSCORES",)
            return [part for score, member in between for part in (member, as_bytes(score))]
        return [member for _, member in between]

    def zrangebyscore(self, key: bytes, low: bytes, high: bytes, *limit: bytes) -> Reply:
        return _limited(self._set(key).between(low, high), limit)

    def zrevrangebyscore(self, key: bytes, high: bytes, low: bytes, *limit: bytes) -> Reply:
        return _limited(self._set(key).between(low, high)[::-1], limit)

    def zremrangebyscore(self, key: bytes, low: bytes, high: bytes) -> Reply:
        return self.zrem(key, *self._set(key).between(low, high))

    def zcount(self, key: bytes, low: bytes, high: bytes) -> Reply:
        return len(self._set(key).between(low, high))


_NAMES = (
    "ping time info get set exists expire pexpire hget hmget hgetall hset hsetnx hdel hincrby zadd zrem"
    " zcard zscore zrange zrangebyscore zrevrangebyscore zremrangebyscore zcount"
)
_COMMANDS: dict[bytes, Callable[..., Reply]] = {
    name.upper().encode(): getattr(RedisServer, name) for name in _NAMES.split()
} | {b"DEL": RedisServer.delete, b"UNLINK": RedisServer.delete}
_DENIED_IF_FULL = frozenset(b"SET HSET HSETNX HINCRBY ZADD".split())
_WRITES = _DENIED_IF_FULL | frozenset(
    b"DEL UNLINK EXPIRE PEXPIRE HDEL ZREM ZREMRANGEBYSCORE".split()
)


def as_bytes(value: Any) -> bytes:
    """A part of a command as it is sent; a float as Lua and Redis write it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e17:
        value = int(value)
    return (f"{value:.17g}" if isinstance(value, float) else str(value)).encode()


def _bound(text: bytes) -> tuple[float, bool]:
    """A bound of scores, and whether it is left out itself."""
    is_out = text.startswith(b"(")
    bound = float(text[1:] if is_out else text)
    if math.isnan(bound):
        raise ValueError("min or max is not a float")
    return bound, is_out


def _limited(members: list[bytes], limit: Sequence[bytes]) -> list[Any]:
    if not limit:
        return members
    assert limit[0].upper() == b"LIMIT"
    offset, count = int(limit[1]), int(limit[2])
    if offset < 0:
        return []
    return members[offset:] if count < 0 else members[offset : offset + count]
