"""From messages a second to calls, processes, nodes, bytes and dollars a month."""

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec

from app import app
from chalicelib.adapters.aws import MAX_ENTRIES_PER_CALL
from chalicelib.domain.limits import IDEMPOTENCY_KEY_LIFETIME_SECONDS
from chalicelib.usecases.persist import MAX_DOCUMENTS_PER_RECORD
from docs.cost_model.inputs import MONTH_SECONDS, PRICES, Measured, Mix

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = json.loads((ROOT / ".chalice/config.json").read_text())
WORKERS: dict[str, Any] = {
    source.name: source for source in app.event_sources if hasattr(source, "queue")
}
BILLED_REQUEST_BYTES = 64 * 1024  # SQS bills each 64 KiB as a request
POLLERS = 5  # Lambda starts with five pollers for each queue
IDLE_POLL_SECONDS = 20.0
BATCH_BYTES = 6_000_000  # Lambda closes a batch at this size
PLANNED_SHARE = 0.5  # of what a processor can do
NODE_BYTES = 6.38e9 * 0.75  # of a cache.m7g.large; Valkey itself needs a quarter
PROCESSORS = 2  # of an instance of the size `large`
GB = 1e9


def setting(function: str, name: str) -> Any:
    """The value of a setting of Chalice for a function in production."""
    stage = CONFIG["stages"]["prod"]
    levels = (stage["lambda_functions"][function], stage, CONFIG["lambda_functions"][function])
    return next(level[name] for level in (*levels, CONFIG) if name in level)


def default(parameter: str) -> float:
    """The default of a parameter of `infra/cloud/data.yaml`."""
    text = (ROOT / "infra/cloud/data.yaml").read_text()
    match = re.search(rf"^  {parameter}: \{{Type: Number, Default: (\d+)\}}", text, re.M)
    assert match, parameter
    return float(match[1])


class Load(msgspec.Struct, frozen=True):
    """The work that a rate of messages makes. Each property is a number a second, if it says nothing else."""

    rate: float
    mix: Mix
    measured: Measured

    @property
    def creates(self) -> float:
        """Requests that create one message."""
        return self.rate * (1 - self.mix.batched_share)

    @property
    def batches(self) -> float:
        """Requests that create a batch of messages."""
        return self.rate * self.mix.batched_share / self.mix.batch_size

    @property
    def reads(self) -> float:
        return self.rate * self.mix.pages

    @property
    def searches(self) -> float:
        return self.rate * self.mix.searches

    @property
    def requests(self) -> float:
        return self.creates + self.batches + self.reads + self.searches

    @property
    def records(self) -> float:
        """Records on the messages queue."""
        return self.creates + self.batches

    @property
    def record_bytes(self) -> float:
        """Bytes on the messages queue."""
        in_batches = self.batches * self.mix.batch_size * self.measured.message_bytes
        return self.creates * self.measured.record_bytes + in_batches

    @property
    def persists(self) -> float:
        """Invocations of `persist_messages`. Lambda closes a batch when it is full or a second old."""
        return _invocations("persist_messages", self.records, self.record_bytes)

    @property
    def chats_persisted(self) -> float:
        """The sum of the chats in all batches."""
        return self.persists * self._distinct_in_a_batch(self.rate * self.mix.chats)

    @property
    def documents_records(self) -> float:
        """Records on the search queue. A record holds documents of one application, and a limited number."""
        by_size = self.rate / MAX_DOCUMENTS_PER_RECORD
        applications = self._distinct_in_a_batch(self.rate * self.mix.applications)
        return max(by_size, self.persists * applications)

    @property
    def indexings(self) -> float:
        """Invocations of `index_messages`."""
        return _invocations(
            "index_messages", self.documents_records, self.rate * self.measured.message_bytes
        )

    @property
    def sends(self) -> float:
        """Requests that send records. The API sends at once; the worker sends ten records in a call."""
        batch_bytes = self.mix.batch_size * self.measured.message_bytes
        search_bytes = self.rate * self.measured.message_bytes
        search = max(
            self.persists,
            self.documents_records / MAX_ENTRIES_PER_CALL,
            search_bytes / BILLED_REQUEST_BYTES,
        )
        batches = self.batches * math.ceil(batch_bytes / BILLED_REQUEST_BYTES)
        return self.creates + batches + search

    @property
    def sqs_requests(self) -> float:
        """All requests to SQS. Lambda receives and deletes ten records in a call, and polls idle queues."""
        idle = len(WORKERS) * POLLERS / IDLE_POLL_SECONDS
        queues = [(self.records, self.persists), (self.documents_records, self.indexings)]
        polls = sum(min(n, max(POLLERS, n / MAX_ENTRIES_PER_CALL)) for n, _ in queues)
        deletes = sum(min(n, max(batches, n / MAX_ENTRIES_PER_CALL)) for n, batches in queues)
        return self.sends + idle + polls + deletes

    @property
    def busy_processes(self) -> dict[str, float]:
        """How many processes of each function work at the same time."""
        measured = self.measured
        api = self.creates * measured.create_ms + self.batches * measured.create_batch_ms
        api += self.reads * measured.read_ms + self.searches * measured.search_ms
        persist = self.persists * measured.persist_ms + self.rate * measured.persist_message_ms
        index = self.indexings * measured.index_ms + self.rate * measured.index_message_ms
        return {
            "api_handler": api / 1000,
            "persist_messages": persist / 1000,
            "index_messages": index / 1000,
        }

    @property
    def scripts(self) -> float:
        """Scripts in Valkey: one a request, one a message of a batch, one a chat of a worker's batch."""
        return self.requests + self.rate * self.mix.batched_share + self.chats_persisted

    @property
    def redis_bytes(self) -> float:
        """Bytes in Valkey: the Idempotency-Keys of a day, and the counters of active chats."""
        keys = (self.creates + self.batches) * IDEMPOTENCY_KEY_LIFETIME_SECONDS
        chats = self.rate * self.mix.chats
        return keys * self.measured.idempotency_key_bytes + chats * self.measured.chat_bytes

    @property
    def shards(self) -> int:
        """Shards of Valkey that the load needs."""
        by_rate = self.scripts / (self.measured.scripts * PLANNED_SHARE)
        by_memory = self.redis_bytes / NODE_BYTES
        return max(int(default("RedisShards")), math.ceil(by_rate), math.ceil(by_memory))

    @property
    def mysql_processors(self) -> float:
        """Processors of MySQL that the load keeps busy."""
        return self.rate / self.measured.rows + self.reads / self.measured.pages

    @property
    def opensearch_processors(self) -> float:
        """Processors of OpenSearch, of all nodes, that the load keeps busy."""
        return self.rate / self.measured.documents + self.searches / self.measured.searches

    @property
    def mysql_gb(self) -> float:
        """GB in MySQL for the messages of a month."""
        return self.rate * MONTH_SECONDS * self.measured.row_bytes / GB

    @property
    def opensearch_gb(self) -> float:
        """GB in OpenSearch for the messages of a month, with the replica."""
        return self.rate * MONTH_SECONDS * self.measured.document_bytes * 2 / GB

    @property
    def log_gb(self) -> float:
        """GB of logs in a month."""
        lines = self.requests + self.persists + self.indexings
        chats = self.chats_persisted + self.documents_records
        bytes_a_second = lines * self.measured.log_bytes + chats * self.measured.chat_log_bytes
        return bytes_a_second * MONTH_SECONDS / GB

    @property
    def response_gb(self) -> float:
        """GB of responses in a month."""
        pages = self.reads + self.searches
        small = (self.requests - pages) * self.measured.response_bytes
        return (small + pages * self.measured.page_bytes) * MONTH_SECONDS / GB

    def _distinct_in_a_batch(self, total: float) -> float:
        """How many different ones, of so many that are equally active, the messages of a batch belong to."""
        total, messages = max(1.0, total), self.rate / self.persists
        return float(total * (1 - (1 - 1 / total) ** messages))


def costs(load: Load) -> dict[str, float]:
    """Dollars a month, with disks for the messages of one month."""
    millions = MONTH_SECONDS / 1e6
    hours = MONTH_SECONDS / 3600
    memory_gb = sum(
        processes * setting(function, "lambda_memory_size") / 1024
        for function, processes in load.busy_processes.items()
    )
    calls = (load.requests + load.persists + load.indexings) * millions
    mysql_gb = max(default("MysqlStorageGb"), load.mysql_gb / 0.8)
    opensearch_gb = max(2 * default("OpensearchStorageGb"), load.opensearch_gb / 0.8)
    endpoint_bytes = load.record_bytes + load.rate * load.measured.message_bytes
    return {
        "API Gateway": PRICES["gateway"].cost(load.requests * millions),
        "Lambda": PRICES["lambda requests"].cost(calls)
        + PRICES["lambda time"].cost(memory_gb * MONTH_SECONDS),
        "SQS": PRICES["sqs"].cost(load.sqs_requests * millions)
        + PRICES["sqs fair"].cost(load.sends * millions),
        "Valkey": PRICES["valkey"].cost(load.shards * 2 * hours),
        "MySQL": PRICES["mysql"].cost(_instances(load.mysql_processors) * hours),
        "MySQL's disk": PRICES["mysql disk"].cost(mysql_gb),
        "OpenSearch": PRICES["opensearch"].cost(
            max(2, _instances(load.opensearch_processors)) * hours
        ),
        "OpenSearch's disks": PRICES["opensearch disk"].cost(opensearch_gb),
        "Logs": PRICES["logs"].cost(load.log_gb),
        "Responses to the internet": PRICES["transfer"].cost(load.response_gb),
        "Endpoints, secrets, alarms": PRICES["fixed"].cost(1)
        + PRICES["endpoint"].cost(4 * hours)
        + PRICES["endpoint data"].cost(endpoint_bytes * MONTH_SECONDS / GB),
    }


def _invocations(worker: str, records: float, size: float) -> float:
    source = WORKERS[worker]
    by_window = POLLERS / source.maximum_batching_window_in_seconds
    return float(min(records, max(by_window, records / source.batch_size, size / BATCH_BYTES)))


def _instances(busy_processors: float) -> float:
    """How many instances of size large do it. Sizes double, and so do their prices."""
    needed = busy_processors / PLANNED_SHARE / PROCESSORS
    return float(2 ** math.ceil(math.log2(max(1.0, needed))))
