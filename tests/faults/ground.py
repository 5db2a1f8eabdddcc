"""The stack under test: its functions reach every part by a proxy, its operator past them."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pymysql
from botocore.config import Config

from chalicelib.settings import QUEUES, Settings
from infra.local.deploying import deploy
from infra.local.keys import keys_of
from infra.local.layout import REGION, stack_named
from infra.local.stack import description
from tests.faults.database import StackDatabase
from tests.faults.doubling import send_twice
from tests.faults.load import Place
from tests.faults.parts import kill_function
from tests.faults.proxy import Mode, Proxy
from tests.faults.valkeys import Valkeys

PROXIED = ("redis", "mysql", "opensearch", "localstack")
# Six times less than deployed: what a killed worker held comes again after 30 s, not 180.
VISIBILITY_SECONDS = 30


class Ground:
    """The running stack named `faults`."""

    def __init__(self) -> None:
        self.stack, self.keys = stack_named("faults"), keys_of(stack_named("faults"))
        content = description(self.stack)
        assert content is not None, "the stack is not up: `make faults` starts it"
        self.content = content
        self.queues: dict[str, str] = content["queues"]
        self.doubling, self.doubled = False, 0
        self.valkeys = Valkeys(self.stack)
        self.database = StackDatabase(self.stack, self.keys, content["mysql"]["url"])
        self.proxies = {name: self._proxy(name) for name in PROXIED}
        self.sqs, self._functions = self._client("sqs"), self._client("lambda")
        self.base_url = self._deploy()
        for queue in self.queues.values():
            attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS)}
            self.sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)

    def settings(self, redis_port: int) -> Settings:
        """Settings for use cases in this process, which reach the parts directly."""
        return Settings(
            redis_url=f"redis://127.0.0.1:{redis_port}/0",
            mysql_url=self.content["mysql"]["url"],
            opensearch_url=self.content["opensearch"]["url"],
            master_key=self.keys.master_key,
            admin_key=self.keys.admin_key,
            queue_urls={q: self.queues[q] for q in QUEUES},
            dead_queue_urls={q: self.queues[f"{q}-dead"] for q in QUEUES},
        )

    def new_application(self, name: str) -> Place:
        """An application for a load."""
        answer = httpx.post(
            f"{self.base_url}/applications",
            json={"name": name},
            headers={"Authorization": f"Bearer {self.keys.admin_key}"},
            timeout=30,
        )
        assert answer.status_code == 201, answer.text
        told, inbox = answer.json(), self.queues["inbox"]
        return Place(
            base_url=self.base_url,
            token=told["token"],
            secret_key=told["secret_key"],
            admin_key=self.keys.admin_key,
            put_on_the_inbox=lambda body: self.sqs.send_message(QueueUrl=inbox, MessageBody=body),
        )

    @contextlib.contextmanager
    def broken(self, part: str, mode: Mode, delay_seconds: float = 0.0) -> Iterator[None]:
        """The way to a part is broken meanwhile."""
        self.proxies[part].set(mode, delay_seconds)
        try:
            yield
        finally:
            self.proxies[part].set(Mode.PASS)

    def heal(self) -> None:
        """Nothing is broken any more (after a fault that was interrupted, too)."""
        self.doubling = False
        for proxy in self.proxies.values():
            proxy.set(Mode.PASS)
        with contextlib.suppress(pymysql.MySQLError):
            self.database.sql("SET GLOBAL read_only = 0")

    def kill_function(self, name: str) -> int:
        """`kill -9` to every process of a function; how many there were."""
        return kill_function(self.stack, name)

    def invoke(self, function: str) -> None:
        """Call a function at once; that it fails is for the next call to make good."""
        names = ("version", "account", "region", "detail-type", "source", "time", "id")
        event: dict[str, Any] = {**dict.fromkeys(names, "0"), "detail": {}, "resources": []}
        full = next(n for n in self.content["functions"] if n.endswith(f"-{function}"))
        self._functions.invoke(FunctionName=full, Payload=json.dumps(event).encode())

    def close(self) -> None:
        """Stop what this program added to the stack."""
        self.heal()
        for proxy in self.proxies.values():
            proxy.close()
        self.valkeys.drop_link()

    def _port(self, name: str) -> int:
        """A proxy listens beside its part."""
        return self.stack.ports[name] + 1

    def _proxy(self, name: str) -> Proxy:
        target = self.valkeys.primary if name == "redis" else self.stack.ports[name]
        return Proxy(self._port(name), target, self._double if name == "localstack" else None)

    async def _double(self, target: int, sent: bytes) -> None:
        if self.doubling:
            self.doubled += await send_twice(target, sent)

    def _deploy(self) -> str:
        urls = {
            "redis": f"redis://127.0.0.1:{self._port('redis')}/0",
            "mysql": self.database.url_by(self._port("mysql")),
            "opensearch": f"http://127.0.0.1:{self._port('opensearch')}",
            "localstack": f"http://127.0.0.1:{self._port('localstack')}",
        }
        deployed = deploy(self.stack, urls, self.keys)
        # Clients come past the proxy: what is broken is the functions' way to the queues.
        return f"{self.content['aws']['url']}{urlsplit(deployed['base_url']).path}"

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.content["aws"]["url"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
