"""The stack under test: its functions reach every service through a proxy. The program itself does not."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymysql
from botocore.config import Config

from chalicelib.settings import QUEUES, Settings
from infra.local.deployment import deploy
from infra.local.paths import stack_named
from infra.local.stack import read_stack_file
from infra.local.stack_secrets import secrets_of
from tests.aws_clients import local_client
from tests.faults.duplicate_delivery import send_again
from tests.faults.load import Target
from tests.faults.proxy import Mode, Proxy
from tests.faults.servers import StackDatabase, ValkeyServers, kill_function

PROXIED = ("redis", "mysql", "opensearch", "localstack")
# A sixth of the deployed time-out: the records of a killed worker come back after 30 s instead of 180.
VISIBILITY_SECONDS = 30


class Harness:
    """The running stack named `faults`."""

    def __init__(self) -> None:
        self.stack, self.keys = stack_named("faults"), secrets_of(stack_named("faults"))
        content = read_stack_file(self.stack)
        assert content is not None, "the stack is not up: `make faults` starts it"
        self.content = content
        self.queues: dict[str, str] = content["queues"]
        self.sends_twice, self.sent_twice = False, 0
        self.valkeys = ValkeyServers(self.stack)
        self.database = StackDatabase(self.stack, self.keys, content["mysql"]["url"])
        self.proxies = {name: self._proxy(name) for name in PROXIED}
        self.sqs, self._functions = self._client("sqs"), self._client("lambda")
        self.base_url = self._deploy()
        for queue in self.queues.values():
            attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS)}
            self.sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)

    def settings(self, redis_port: int) -> Settings:
        """Settings for use cases in this process. They bypass the proxies."""
        return Settings(
            redis_url=f"redis://127.0.0.1:{redis_port}/0",
            mysql_url=self.content["mysql"]["url"],
            opensearch_url=self.content["opensearch"]["url"],
            master_key=self.keys.master_key,
            admin_key=self.keys.admin_key,
            queue_urls={q: self.queues[q] for q in QUEUES},
            dead_letter_queue_urls={q: self.queues[f"{q}-dead-letters"] for q in QUEUES},
        )

    def new_application(self, name: str) -> Target:
        """Create an application for a load."""
        response = httpx.post(
            f"{self.base_url}/applications",
            json={"name": name},
            headers={"Authorization": f"Bearer {self.keys.admin_key}"},
            timeout=30,
        )
        assert response.status_code == 201, response.text
        created, inbox = response.json(), self.queues["inbox"]
        return Target(
            base_url=self.base_url,
            token=created["token"],
            secret_key=created["secret_key"],
            admin_key=self.keys.admin_key,
            send_to_inbox=lambda body: self.sqs.send_message(QueueUrl=inbox, MessageBody=body),
        )

    @contextlib.contextmanager
    def broken(self, service: str, mode: Mode, delay_seconds: float = 0.0) -> Iterator[None]:
        """Break the connection of the functions to a service while the context is open."""
        self.proxies[service].set(mode, delay_seconds)
        try:
            yield
        finally:
            self.proxies[service].set(Mode.PASS)

    def heal(self) -> None:
        """Repair everything, even if a fault was interrupted."""
        self.sends_twice = False
        for proxy in self.proxies.values():
            proxy.set(Mode.PASS)
        with contextlib.suppress(pymysql.MySQLError):
            self.database.sql("SET GLOBAL read_only = 0")

    def kill_function(self, name: str) -> int:
        """`kill -9` to every process of a function. Returns their number."""
        return kill_function(self.stack, name)

    def invoke(self, function: str) -> None:
        """Call a function now. If it fails, the next call makes up for it."""
        names = ("version", "account", "region", "detail-type", "source", "time", "id")
        event: dict[str, Any] = {**dict.fromkeys(names, "0"), "detail": {}, "resources": []}
        full = next(n for n in self.content["functions"] if n.endswith(f"-{function}"))
        self._functions.invoke(FunctionName=full, Payload=json.dumps(event).encode())

    def close(self) -> None:
        """Stop everything that this program added to the stack."""
        self.heal()
        for proxy in self.proxies.values():
            proxy.close()
        self.valkeys.drop_link()

    def _port(self, name: str) -> int:
        """The port of a service's proxy is the next one."""
        return self.stack.ports[name] + 1

    def _proxy(self, name: str) -> Proxy:
        target = self.valkeys.primary if name == "redis" else self.stack.ports[name]
        return Proxy(self._port(name), target, self._send_twice if name == "localstack" else None)

    async def _send_twice(self, target: int, chunk: bytes) -> None:
        if self.sends_twice:
            self.sent_twice += await send_again(target, chunk)

    def _deploy(self) -> str:
        urls = {
            "redis": f"redis://127.0.0.1:{self._port('redis')}/0",
            "mysql": self.database.url_through(self._port("mysql")),
            "opensearch": f"http://127.0.0.1:{self._port('opensearch')}",
            "localstack": f"http://127.0.0.1:{self._port('localstack')}",
        }
        deployed = deploy(self.stack, urls, self.keys)
        # Clients bypass the proxy: a fault there breaks only the functions' connection to the queues.
        return f"{self.content['aws']['url']}{urlsplit(deployed['base_url']).path}"

    def _client(self, service: str) -> Any:
        options = Config(retries={"total_max_attempts": 1})
        return local_client(self.content["aws"]["url"], service, config=options)
