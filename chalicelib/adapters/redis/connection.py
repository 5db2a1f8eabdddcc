"""The connection to Redis, and the scripts that run on it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException
from redis.retry import Retry

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import OutageError, UnavailableError

_SCRIPTS = Path(__file__).with_name("scripts")
_CONNECT_TIMEOUT_SECONDS = 1.0
_READ_TIMEOUT_SECONDS = 3.0
# An idle connection is checked before it is used again. A script must not be sent on a dead connection,
# because then nobody knows whether it ran.
_CHECK_AFTER_IDLE_SECONDS = 10
_CLUSTER = "+cluster"


type Client = redis.Redis | RedisCluster
type Arg = str | bytes | int | float


def connect(url: str, read_timeout_seconds: float = _READ_TIMEOUT_SECONDS) -> Client:
    """A client that sends nothing twice, and whose every wait has a limit.

    `rediss://` encrypts, and verifies the certificate against the authorities of the system.
    `redis+cluster://` and `rediss+cluster://` name any node of a cluster: this function connects to it, and
    reads its other nodes.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": read_timeout_seconds,
        "health_check_interval": _CHECK_AFTER_IDLE_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    scheme, _, address = url.partition("://")
    if scheme.endswith(_CLUSTER):
        node = f"{scheme.removesuffix(_CLUSTER)}://{address}"
        cluster: RedisCluster = RedisCluster.from_url(node, **options)
        return cluster
    # A function handles one event at a time. A pool would check the socket before each command.
    return redis.Redis.from_url(url, single_connection_client=True, **options)


class Scripts:
    """Runs the scripts of `scripts/`, by name.

    A script is sent once: a retry in the client library could issue two numbers for one request.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._scripts: dict[str, Any] = {}
        self._circuit = Circuit("Redis", _is_unreachable)

    @cached_property
    def client(self) -> Client:
        """Connected at the first use, inside `calling`, because a cluster client reads the nodes then."""
        return connect(self._url)

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """The reply of a script. Raises `UnavailableError` if Redis does not reply."""
        with self.calling():
            return self._script(name)(keys=keys, args=args)

    def run_each(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]
    ) -> list[Any]:
        """The replies of a script for each (keys, args). The script must tolerate to run twice.

        This is one round trip.
        """
        with self.calling():
            script = self._script(name)
            try:
                return self._send_each(script, calls)
            except NoScriptError:
                self.client.script_load(script.script)
                return self._send_each(script, calls)

    def _script(self, name: str) -> Any:
        script = self._scripts.get(name)
        if script is None:
            text = (_SCRIPTS / "common.lua").read_text() + (_SCRIPTS / f"{name}.lua").read_text()
            script = self._scripts[name] = self.client.register_script(text)
        return script

    def _send_each(
        self, script: Any, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]
    ) -> list[Any]:
        with self.client.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
            return pipeline.execute()

    def close(self) -> None:
        """Close the connections, if there are any."""
        if client := self.__dict__.pop("client", None):
            client.close()
            self._scripts.clear()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Surrounds calls to Redis. Raises `UnavailableError` for every failure of Redis."""
        try:
            with self._circuit.calling():
                yield
        except (redis.RedisError, RedisClusterException) as error:
            kind = OutageError if _is_unreachable(error) else UnavailableError
            raise kind(f"Redis: {type(error).__name__}: {error}") from error


def _is_unreachable(error: BaseException) -> bool:
    no_response = redis.ConnectionError | redis.TimeoutError | RedisClusterException
    return isinstance(error, no_response)
