"""The connection to Redis: scripts and commands, each on the node that has its key."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import (
    AskError,
    NoScriptError,
    RedisClusterException,
    SlotNotCoveredError,
    TryAgainError,
)
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
# Stands for the name of a server that is not part of a cluster, and for the address of a cluster.
_ADDRESS = ""
# What a node replies if its keys are moved to another node. It has run nothing.
_ELSEWHERE = (AskError, TryAgainError)


type Client = redis.Redis | RedisCluster
type Arg = str | bytes | int | float
type Command = tuple[Arg, ...]


class _Cluster(RedisCluster):
    """A cluster client that needs one node to connect.

    The library also reads the list of commands, from any node, which may be the one that is down. It reads
    them later if it has to find the keys of a command.
    """

    def command(self, **_options: Any) -> dict[str, Any]:
        return {}


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
        # Slots that no node has affect only the applications whose keys are in them.
        cluster: RedisCluster = _Cluster.from_url(node, require_full_coverage=False, **options)
        return cluster
    # A function handles one event at a time. A pool would check the socket before each command.
    return redis.Redis.from_url(url, single_connection_client=True, **options)


class _Node(msgspec.Struct, frozen=True):
    """A server with its own connection. The name is empty if the server is not part of a cluster."""

    name: str
    client: Any  # a redis.Redis: mypy knows no types of its commands


class _Script(msgspec.Struct, frozen=True):
    text: str
    sha: str


class Scripts:
    """Runs commands, and the scripts of `scripts/` by name, on the node that has the key.

    Each node has a circuit of its own, so a node that does not respond affects only the applications whose
    keys it has. A script is sent once: a retry in the client library could issue two numbers for one request.
    Only a node that has run nothing, because it lacks the key or the script, is followed by another try.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._scripts: dict[str, _Script] = {}
        self._circuits: dict[str, Circuit] = {}

    @cached_property
    def client(self) -> Client:
        """Connected at the first use, because a cluster client reads the nodes then."""
        with self._calling(_ADDRESS):
            return connect(self._url)

    def node_of(self, key: str) -> str:
        """The name of the node that has a key. Empty if no node has it, or if there is one server only.

        Raises `UnavailableError` if the cluster does not say.
        """
        if isinstance(self.client, redis.Redis):
            return _ADDRESS
        try:
            return self._node_of(key).name
        except UnavailableError:
            return _ADDRESS

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """The reply of a script. Raises `UnavailableError` if Redis does not reply."""
        script, node = self._script(name), self._node_of(keys[0])
        with self._calling(node.name):
            try:
                return self._execute(node, ("EVALSHA", script.sha, len(keys), *keys, *args))
            except NoScriptError:
                return self._execute(node, ("EVAL", script.text, len(keys), *keys, *args))

    def run_each(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]
    ) -> list[Any]:
        """The replies of a script for each (keys, args). The script must tolerate to run twice.

        This is one round trip for each node. If a node does not reply, this raises `UnavailableError` after
        the scripts of all other nodes have run.
        """
        script = self._script(name)

        def run_on(node: _Node, commands: list[Command]) -> list[Any]:
            try:
                return self._execute_each(node, commands)
            except NoScriptError:
                node.client.script_load(script.text)
                return self._execute_each(node, commands)

        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
        return self._on_each_node([keys[0] for keys, _ in calls], commands, run_on)

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, each of which has its key as the first argument.

        One round trip for each node, and errors, are as for `run_each`. A command may run twice.
        """
        keys = [str(command[1]) for command in commands]
        return self._on_each_node(keys, commands, self._execute_each)

    def server_ms(self, key: str) -> int:
        """The time of the node that has a key, in milliseconds since 1970."""
        node = self._node_of(key)
        with self._calling(node.name):
            [(seconds, microseconds)] = self._execute_each(node, [("TIME",)])
        return int(seconds) * 1000 + int(microseconds) // 1000

    def ping(self) -> None:
        """Raises `UnavailableError` if a node does not reply."""
        for node in self._nodes():
            with self._calling(node.name):
                self._execute_each(node, [("PING",)])

    def close(self) -> None:
        """Close the connections, if there are any."""
        if client := self.__dict__.pop("client", None):
            client.close()

    def _script(self, name: str) -> _Script:
        script = self._scripts.get(name)
        if script is None:
            text = (_SCRIPTS / "common.lua").read_text() + (_SCRIPTS / f"{name}.lua").read_text()
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            script = self._scripts[name] = _Script(text, sha)
        return script

    def _nodes(self) -> list[_Node]:
        client: Any = self.client
        if isinstance(client, redis.Redis):
            return [_Node(_ADDRESS, client)]
        return [_Node(n.name, client.get_redis_connection(n)) for n in client.get_primaries()]

    def _node_of(self, key: str) -> _Node:
        client: Any = self.client
        if isinstance(client, redis.Redis):
            return _Node(_ADDRESS, client)
        try:
            node = client.get_node_from_key(key)
        except SlotNotCoveredError as error:
            self._read_slots()
            raise UnavailableError("Redis: no node has the keys") from error
        return _Node(node.name, client.get_redis_connection(node))

    def _on_each_node(
        self,
        keys: Sequence[str],
        commands: Sequence[Command],
        execute: Callable[[_Node, list[Command]], list[Any]],
    ) -> list[Any]:
        """The replies, in the order of the commands. All nodes get theirs before a failure is raised."""
        indexes: dict[_Node, list[int]] = {}
        replies: dict[int, Any] = {}
        failure: UnavailableError | None = None
        for index, key in enumerate(keys):
            try:
                indexes.setdefault(self._node_of(key), []).append(index)
            except UnavailableError as error:
                failure = error
        for node, own in indexes.items():
            try:
                with self._calling(node.name):
                    replies.update(zip(own, execute(node, [commands[i] for i in own]), strict=True))
            except UnavailableError as error:
                failure = error
        if failure is not None:
            raise failure
        return [replies[index] for index in range(len(commands))]

    def _execute(self, node: _Node, command: Command) -> Any:
        try:
            return node.client.execute_command(*command)
        except _ELSEWHERE:
            return self._execute_elsewhere(command)

    def _execute_each(self, node: _Node, commands: Sequence[Command]) -> list[Any]:
        """The replies of one round trip. Raises the first error when all commands have run."""
        with node.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        for index, reply in enumerate(replies):
            if isinstance(reply, _ELSEWHERE):
                replies[index] = self._execute_elsewhere(commands[index])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _execute_elsewhere(self, command: Command) -> Any:
        """The cluster client asks the same node again, and follows its reply to the node that has the key."""
        client: Any = self.client
        return client.execute_command(*command)

    def _read_slots(self, failed_node: str | None = None) -> None:
        """Ask the other nodes first which node has which keys: a replica may have taken over."""
        client = self.client
        if isinstance(client, RedisCluster):
            with suppress(redis.RedisError, RedisClusterException):
                client.nodes_manager.initialize(last_failed_node_name=failed_node)

    @contextmanager
    def _calling(self, node: str) -> Iterator[None]:
        """Surrounds calls to a node. Raises `UnavailableError` for every failure of the node.

        It is an `OutageError` only if Redis is away as a whole: a node of a cluster is away for its
        applications.
        """
        circuit = self._circuits.get(node)
        if circuit is None:
            circuit = self._circuits[node] = Circuit("Redis", _is_unreachable)
        try:
            with circuit.calling():
                yield
        except (redis.RedisError, RedisClusterException) as error:
            is_outage = _is_unreachable(error)
            if is_outage and node != _ADDRESS:
                self._read_slots(node)
                is_outage = False
            kind = OutageError if is_outage else UnavailableError
            raise kind(f"Redis: {type(error).__name__}: {error}") from error
        except OutageError as error:
            if node == _ADDRESS:
                raise
            raise UnavailableError(str(error), error.retry_after_seconds) from error


def _is_unreachable(error: BaseException) -> bool:
    no_response = redis.ConnectionError | redis.TimeoutError | RedisClusterException
    return isinstance(error, no_response)
