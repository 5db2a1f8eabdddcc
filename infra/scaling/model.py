"""From messages a second to calls, processes, nodes, bytes and dollars a month."""

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec

from app import app
from chalicelib.adapters.sqs import MAX_ENTRIES_PER_CALL
from chalicelib.domain.limits import IDEMPOTENCY_KEY_KEPT_SECONDS
from chalicelib.usecases.persist import _DOCUMENTS_A_RECORD
from infra.scaling.inputs import PRICES, SECONDS, Measured, Mix

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = json.loads((ROOT / ".chalice/config.json").read_text())
WORKERS: dict[str, Any] = {one.name: one for one in app.event_sources if hasattr(one, "queue")}
QUEUES = len(WORKERS)
CHUNK = 64 * 1024
POLLERS = 5  # that Lambda begins with for each queue
IDLE_POLL_SECONDS = 20.0
BATCH_BYTES = 6_000_000  # where Lambda cuts a batch
HALF = 0.5  # of what a processor can do is planned for
NODE_BYTES = 6.38e9 * 0.75  # of a cache.m7g.large; a quarter is Valkey's own
PROCESSORS = 2  # of a `large`
GB = 1e9


def setting(function: str, name: str) -> Any:
    """What is in force for a function in production."""
    stage = CONFIG["stages"]["prod"]
    places = (stage["lambda_functions"][function], stage, CONFIG["lambda_functions"][function])
    return next(place[name] for place in (*places, CONFIG) if name in place)


def default(parameter: str) -> float:
    """What `infra/cloud/data.yaml` begins with."""
    text = (ROOT / "infra/cloud/data.yaml").read_text()
    found = re.search(rf"^  {parameter}: \{{Type: Number, Default: (\d+)\}}", text, re.M)
    assert found, parameter
    return float(found[1])


class Load(msgspec.Struct, frozen=True):
    """What a rate of messages makes of everything, a second."""

    rate: float
    mix: Mix
    measured: Measured

    @property
    def posts(self) -> float:
        return self.rate * (1 - self.mix.batched)

    @property
    def batches(self) -> float:
        return self.rate * self.mix.batched / self.mix.batch

    @property
    def reads(self) -> float:
        return self.rate * self.mix.pages

    @property
    def searches(self) -> float:
        return self.rate * self.mix.searches

    @property
    def requests(self) -> float:
        return self.posts + self.batches + self.reads + self.searches

    @property
    def records(self) -> float:
        """On the messages queue."""
        return self.posts + self.batches

    @property
    def record_bytes(self) -> float:
        """A second, on the messages queue."""
        in_batches = self.batches * self.mix.batch * self.measured.message_bytes
        return self.posts * self.measured.record_bytes + in_batches

    @property
    def persists(self) -> float:
        """Invocations: a batch is closed when it is full or its second is over, whichever comes first."""
        return _invocations("persist_messages", self.records, self.record_bytes)

    def _each(self, parts: float) -> float:
        """How many of so many parts, all alike, the messages of an invocation meet."""
        parts, messages = max(1.0, parts), self.rate / self.persists
        return float(parts * (1 - (1 - 1 / parts) ** messages))

    @property
    def chats_met(self) -> float:
        """Chats of a batch, together, a second."""
        return self.persists * self._each(self.rate * self.mix.chats)

    @property
    def documents_records(self) -> float:
        """On the search queue: a record for each application of a batch, and of no more than so many."""
        by_size = self.rate / _DOCUMENTS_A_RECORD
        return max(by_size, self.persists * self._each(self.rate * self.mix.applications))

    @property
    def indexings(self) -> float:
        return _invocations(
            "index_messages", self.documents_records, self.rate * self.measured.message_bytes
        )

    @property
    def sends(self) -> float:
        """Requests of 64 KB. The API sends what it accepts at once; the worker sends ten at a time."""
        of_a_batch = self.mix.batch * self.measured.message_bytes
        documents = self.rate * self.measured.message_bytes
        search = max(
            self.persists, self.documents_records / MAX_ENTRIES_PER_CALL, documents / CHUNK
        )
        return self.posts + self.batches * math.ceil(of_a_batch / CHUNK) + search

    @property
    def sqs_requests(self) -> float:
        """With Lambda's own: it takes and deletes up to ten records at a time, and asks in vain."""
        idle = QUEUES * POLLERS / IDLE_POLL_SECONDS
        taken = [(self.records, self.persists), (self.documents_records, self.indexings)]
        polls = sum(min(n, max(POLLERS, n / MAX_ENTRIES_PER_CALL)) for n, _ in taken)
        deletes = sum(min(n, max(calls, n / MAX_ENTRIES_PER_CALL)) for n, calls in taken)
        return self.sends + idle + polls + deletes

    @property
    def busy(self) -> dict[str, float]:
        """Processes of each function that are at work at a time."""
        one = self.measured
        api = self.posts * one.post_ms + self.batches * one.batch_ms
        api += self.reads * one.read_ms + self.searches * one.search_ms
        persist = self.persists * one.persist_ms + self.rate * one.persist_message_ms
        index = self.indexings * one.index_ms + self.rate * one.index_message_ms
        return {
            "api_handler": api / 1000,
            "persist_messages": persist / 1000,
            "index_messages": index / 1000,
        }

    @property
    def scripts(self) -> float:
        """A request is one script; a batch costs about what its messages do; a worker tells each chat."""
        return self.requests + self.rate * self.mix.batched + self.chats_met

    @property
    def redis_bytes(self) -> float:
        """Keys of a day, and counters of the chats that are active."""
        keys = (self.posts + self.batches) * IDEMPOTENCY_KEY_KEPT_SECONDS
        return (
            keys * self.measured.key_bytes + self.rate * self.mix.chats * self.measured.chat_bytes
        )

    @property
    def shards(self) -> int:
        by_rate = self.scripts / (self.measured.scripts * HALF)
        by_memory = self.redis_bytes / NODE_BYTES
        return max(int(default("RedisShards")), math.ceil(by_rate), math.ceil(by_memory))

    @property
    def mysql_processors(self) -> float:
        """That are kept busy."""
        return self.rate / self.measured.rows + self.reads / self.measured.pages

    @property
    def opensearch_processors(self) -> float:
        """The same, on all nodes together."""
        return self.rate / self.measured.documents + self.searches / self.measured.searches

    @property
    def mysql_gb(self) -> float:
        """Of a month's messages."""
        return self.rate * SECONDS * self.measured.row_bytes / GB

    @property
    def opensearch_gb(self) -> float:
        """The same, with the copy."""
        return self.rate * SECONDS * self.measured.document_bytes * 2 / GB

    @property
    def log_gb(self) -> float:
        """A month."""
        lines = self.requests + self.persists + self.indexings
        of_chats = (self.chats_met + self.documents_records) * self.measured.chat_log_bytes
        return (lines * self.measured.log_bytes + of_chats) * SECONDS / GB

    @property
    def answered_gb(self) -> float:
        """A month, to clients."""
        small = (self.requests - self.reads - self.searches) * self.measured.answer_bytes
        pages = (self.reads + self.searches) * self.measured.page_bytes
        return (small + pages) * SECONDS / GB


def costs(load: Load) -> dict[str, float]:
    """Dollars a month, with the disks that the month's messages fill."""
    millions = SECONDS / 1e6
    hours = SECONDS / 3600
    time = sum(n * setting(f, "lambda_memory_size") / 1024 for f, n in load.busy.items())
    calls = (load.requests + load.persists + load.indexings) * millions
    mysql_gb = max(default("MysqlStorageGb"), load.mysql_gb / 0.8)
    opensearch_gb = max(2 * default("OpensearchStorageGb"), load.opensearch_gb / 0.8)
    through = (load.record_bytes + load.rate * load.measured.message_bytes) * SECONDS / GB
    return {
        "API Gateway": PRICES["gateway"].of(load.requests * millions),
        "Lambda": PRICES["lambda requests"].of(calls) + PRICES["lambda time"].of(time * SECONDS),
        "SQS": PRICES["sqs"].of(load.sqs_requests * millions)
        + PRICES["sqs fair"].of(load.sends * millions),
        "Valkey": PRICES["valkey"].of(load.shards * 2 * hours),
        "MySQL": PRICES["mysql"].of(_larges(load.mysql_processors) * hours),
        "MySQL's disk": PRICES["mysql disk"].of(mysql_gb),
        "OpenSearch": PRICES["opensearch"].of(max(2, _larges(load.opensearch_processors)) * hours),
        "OpenSearch's disks": PRICES["opensearch disk"].of(opensearch_gb),
        "Logs": PRICES["logs"].of(load.log_gb),
        "Answers to the internet": PRICES["transfer"].of(load.answered_gb),
        "Endpoints, secrets, alarms": PRICES["fixed"].of(1)
        + PRICES["endpoint"].of(4 * hours)
        + PRICES["endpoint data"].of(through),
    }


def _invocations(worker: str, records: float, size: float) -> float:
    source = WORKERS[worker]
    closed = POLLERS / source.maximum_batching_window_in_seconds
    return float(min(records, max(closed, records / source.batch_size, size / BATCH_BYTES)))


def _larges(busy: float) -> float:
    """How many of size `"large"` do it; sizes double, and so do their prices."""
    return float(2 ** math.ceil(math.log2(max(1.0, busy / HALF / PROCESSORS))))
