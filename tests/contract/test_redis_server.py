"""The Redis in memory replies as a real one, for random commands and for the scripts."""

import secrets
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.conftest import part_url
from tests.fakes.clock import FakeClock
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.redis_server import RedisServer, Reply

hashes, sets, strings, any_key = (
    st.sampled_from(names.split()) for names in ("h1 h2", "z1 z2", "s1 s2", "h1 z1 s1 s2")
)
fields, numbers = st.sampled_from(["a", "b", "c"]), st.integers(-20, 20)
scores = st.one_of(numbers, st.sampled_from([1.5, 2**52 + 1.0, "-inf"]))
bounds = st.one_of(numbers.map(str), numbers.map("({}".format), st.sampled_from(["-inf", "+inf"]))
limits = st.one_of(st.just(()), st.tuples(st.just("LIMIT"), st.integers(0, 3), st.integers(-1, 3)))


def command(name: str, *parts: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *parts)


ranges = st.one_of(
    command("ZRANGEBYSCORE", sets, bounds, bounds),
    command("ZREVRANGEBYSCORE", sets, bounds, bounds),
)
COMMANDS = st.one_of(
    command("GET", strings),
    command("SET", strings, numbers),
    command("SET", strings, numbers, st.just("PX"), st.just(90_000)),
    command("HGET", hashes, fields),
    command("HMGET", hashes, fields, fields),
    command("HSET", hashes, fields, numbers, fields, numbers),
    command("HSETNX", hashes, fields, numbers),
    command("HDEL", hashes, fields, fields),
    command("HINCRBY", hashes, fields, numbers),
    command("EXISTS", any_key, any_key),
    command("EXPIRE", any_key, st.just(60)),
    command("PEXPIRE", any_key, st.just(60_000)),
    command("DEL", any_key),
    command("UNLINK", any_key, any_key),
    command("ZADD", sets, scores, fields, scores, fields),
    command("ZADD", sets, st.just("XX"), scores, fields),
    command("ZREM", sets, fields, fields),
    command("ZCARD", sets),
    command("ZSCORE", sets, fields),
    command("ZRANGE", sets, st.integers(-4, 4), st.integers(-4, 4)),
    command("ZRANGE", sets, st.integers(-4, 4), st.integers(-4, 4), st.just("WITHSCORES")),
    command("ZCOUNT", sets, bounds, bounds),
    command("ZREMRANGEBYSCORE", sets, bounds, bounds),
    st.tuples(ranges, limits).map(lambda pair: (*pair[0], *pair[1])),
)


@pytest.fixture(scope="module")
def valkey() -> Any:
    client = redis.Redis.from_url(part_url("redis"))
    yield client
    client.close()


@settings(max_examples=300)
@given(st.lists(COMMANDS, max_size=30))
def test_commands_reply_the_same_on_the_fake_and_on_valkey(
    valkey: Any, commands: list[tuple[Any, ...]]
) -> None:
    server, prefix = RedisServer(FakeClock()), f"test:{secrets.token_hex(8)}:"
    with valkey.pipeline(transaction=False) as pipeline:
        for name, *parts in commands:
            keys = 2 if name in ("EXISTS", "UNLINK") else 1
            named = [prefix + part for part in parts[:keys]] + parts[keys:]
            pipeline.execute_command(name, *named)
        pipeline.delete(*(prefix + key for key in ["h1", "h2", "z1", "z2", "s1", "s2"]))
        real = pipeline.execute()[:-1]
    fake = [server.execute(*command) for command in commands]
    for command, ours, theirs in zip(commands, fake, real, strict=True):
        assert _alike(ours, theirs), (command, ours, theirs)


def _alike(ours: Reply, theirs: Any) -> bool:
    """redis-py converts some replies to Python values."""
    if isinstance(theirs, bool):
        return ours in ((b"OK", 1) if theirs else (None, 0))
    if isinstance(theirs, float):
        return ours is not None and float(ours) == theirs
    return bool(ours == theirs)


REPLIES = [
    "1.9",
    "-1.9",
    "true",
    "false",
    "nil",
    "'text'",
    "{1, 'a', false, 2, nil, 3}",
    "{{1, {2}}, 'b'}",
    "redis.call('GET', 'nothing')",
    "redis.call('HMGET', 'nothing', 'a', 'b')",
    "redis.call('HMGET', 'nothing', 'a')[1] == false",
    "redis.call('EXISTS', 'nothing') == 0",
    "{KEYS[1], ARGV[1], ARGV[2], #ARGV, ARGV[3]}",
    "tonumber(ARGV[2]) * 2",
    "string.format('%.0f', 30000 * 4294967296 + 1)",
    'cjson.decode(\'{"a":{"b":[1,2]}}\').a.b[2]',
    'cjson.decode(\'{"a":"\\\\u00e9"}\').a',
    "cjson.decode('{\"a\":12345678901}').a",
    "cjson.decode('{\"a\":null}').a == cjson.null",
    "cjson.decode('{}').a",
    "string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= nil",
    "#string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')",
]


@pytest.mark.parametrize("returned", REPLIES)
def test_scripts_reply_the_same_on_the_fake_and_on_valkey(valkey: Any, returned: str) -> None:
    text = f"return {returned}"
    server = RedisServer(FakeClock())
    ours = LuaScripts(lambda name, _: text).run(server, "read_pending", ["k"], ["x", 4])
    assert ours == valkey.eval(text, 1, "k", "x", 4)


def test_expired_keys_are_gone() -> None:
    clock = FakeClock()
    server = RedisServer(clock)
    server.execute("SET", "s", "1", "PX", 100)
    server.execute("HSET", "h", "a", "1")
    server.execute("EXPIRE", "h", 1)
    server.execute("ZADD", "z", 1, "a")
    clock.wait(0.1)
    assert [server.execute("EXISTS", key) for key in "shz"] == [0, 1, 1]
    clock.wait(0.9)
    assert [server.execute("EXISTS", key) for key in "shz"] == [0, 0, 1]


def test_a_copied_server_is_another_incarnation() -> None:
    server = RedisServer(FakeClock())
    server.execute("HSET", "h", "a", "1")
    replica = RedisServer(FakeClock(), server.dataset.copy())
    replica.execute("HSET", "h", "a", "2")
    assert server.execute("HGET", "h", "a") == b"1"
    assert server.run_id != replica.run_id
