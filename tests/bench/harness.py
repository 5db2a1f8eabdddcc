"""The stack `bench`: its stores and queues are real, and the functions run in this process.

A signal stops LocalStack with the deployed functions, because they would process the records that are
measured. The benchmarks use their own MySQL database, index and Redis database.
"""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import boto3
import pymysql

from chalicelib.settings import QUEUES
from infra.local.paths import REGION

DATABASE = "ordinal_bench"
REDIS_DATABASE = "/1"
LEASE_WINDOW = 100_000
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
}


class Harness:
    """The content of the stack's `stack.json`, and the environment of the functions."""

    def __init__(self, description: Path) -> None:
        self.description = description
        self.content: dict[str, Any] = json.loads(description.read_text())
        os.environ.update(_CREDENTIALS, AWS_ENDPOINT_URL=self.content["elasticmq"]["url"])
        self.sqs = boto3.client("sqs")
        self.queue_urls = {
            name: self.sqs.create_queue(QueueName=f"ordinal-bench-{name}")["QueueUrl"]
            for queue in QUEUES
            for name in (queue, f"{queue}-dead-letters")
        }
        self.mysql_url = self._database()
        self.redis_url = str(self.content["redis"]["url"]).removesuffix("/0") + REDIS_DATABASE
        self.opensearch_url = str(self.content["opensearch"]["url"])
        self.environment = self._environment()
        os.environ.update(self.environment)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """LocalStack, with the functions that it runs, is stopped while the context is open."""
        pid = self.content["aws"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def migrate(self) -> None:
        """Create the tables and the index."""
        from chalicelib.bootstrap import migrate

        migrate()

    def purge_queues(self) -> None:
        """Delete all records from all queues."""
        for url in self.queue_urls.values():
            self.sqs.purge_queue(QueueUrl=url)

    def _database(self) -> str:
        url = urlsplit(self.content["mysql"]["url"])
        with (
            pymysql.connect(
                host=url.hostname,
                port=url.port or 3306,
                user=url.username,
                password=url.password or "",
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4")
        return str(urlunsplit(url._replace(path=f"/{DATABASE}")))

    def _environment(self) -> Mapping[str, str]:
        urls = {f"ORDINAL_{q.upper()}_QUEUE_URL": self.queue_urls[q] for q in QUEUES}
        dead = {
            f"ORDINAL_{q.upper()}_DEAD_LETTER_QUEUE_URL": self.queue_urls[f"{q}-dead-letters"]
            for q in QUEUES
        }
        return {
            **urls,
            **dead,
            "ORDINAL_STAGE": "bench",
            "ORDINAL_REDIS_URL": self.redis_url,
            "ORDINAL_MYSQL_URL": self.mysql_url,
            "ORDINAL_OPENSEARCH_URL": self.opensearch_url,
            "ORDINAL_MASTER_KEY": self.content["master_key"],
            "ORDINAL_ADMIN_KEY": self.content["admin_key"],
            # The stage `prod` has this setting.
            "ORDINAL_REDIS_KEEPS_WRITES": "1",
            # The benchmarks measure the work, not its limits.
            "ORDINAL_APPLICATION_RATE": "10000000",
            "ORDINAL_LEASE_WINDOW": str(LEASE_WINDOW),
        }
