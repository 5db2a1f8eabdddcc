"""The inputs of the model: prices, what clients do, what was measured.

Everything else comes from the product: `app.py`, `.chalice/config.json`, `infra/cloud/data.yaml`.
"""

from typing import NamedTuple

import msgspec

MONTH_SECONDS = 730 * 3600  # as AWS counts a month


class Price(NamedTuple):
    """An AWS list price in us-east-1. Each step is a number of units a month and the price up to there."""

    unit: str
    steps: tuple[tuple[float, float], ...]
    source: str

    def cost(self, units: float) -> float:
        """Dollars a month for so many units a month."""
        cost, step_start = 0.0, 0.0
        for up_to, dollars in self.steps:
            cost += (min(units, up_to) - step_start) * dollars
            step_start = up_to
            if units <= up_to:
                break
        return cost


def _flat(unit: str, dollars: float, source: str) -> Price:
    return Price(unit, ((float("inf"), dollars),), source)


_END = float("inf")
# PUBLISHED: on a page of 2026, of AWS or of somebody who quotes AWS. docs/scaling.md says more.
PUBLISHED, RECALLED = "found", "from memory"
PRICES = {
    "lambda time": Price(
        "GB-s, arm64",
        ((7.5e9, 0.0000133334), (18.75e9, 0.0000120001), (_END, 0.0000106667)),
        PUBLISHED,
    ),
    "lambda requests": _flat("million calls", 0.20, PUBLISHED),
    "gateway": Price(
        "million calls, REST", ((333, 3.50), (1000, 2.80), (20_000, 2.38), (_END, 1.51)), PUBLISHED
    ),
    "sqs": Price(
        "million requests of 64 KB", ((100_000, 0.40), (200_000, 0.30), (_END, 0.24)), PUBLISHED
    ),
    "sqs fair": _flat("million requests with a group, on top", 0.10, PUBLISHED),
    "transfer": Price(
        "GB out to the internet",
        ((10_240, 0.09), (51_200, 0.085), (153_600, 0.07), (_END, 0.05)),
        PUBLISHED,
    ),
    "logs": Price(
        "GB of Lambda's logs",
        ((10_240, 0.50), (30_720, 0.25), (51_200, 0.10), (_END, 0.05)),
        RECALLED,
    ),
    "valkey": _flat("hour of a cache.m7g.large", 0.1264, RECALLED),
    "mysql": _flat("hour of 2 processors of db.m7g, in two zones", 0.337, RECALLED),
    "mysql disk": _flat("GB-month of gp3, in two zones", 0.23, PUBLISHED),
    "opensearch": _flat("hour of 2 processors of m7g.search", 0.135, RECALLED),
    "opensearch disk": _flat("GB-month of gp3", 0.122, RECALLED),
    "endpoint": _flat("hour of an endpoint in a zone", 0.01, RECALLED),
    "endpoint data": _flat("GB through endpoints", 0.01, RECALLED),
    "fixed": _flat("month: 4 secrets, a key, about 30 alarms and 40 metrics", 18.0, RECALLED),
}


class Mix(msgspec.Struct, frozen=True):
    """What clients do for each message that they create, day and night."""

    batched_share: float = 0.5  # messages that are created in batches, of all messages
    batch_size: int = 25
    pages: float = 2.0  # of messages, changes or read markers
    searches: float = 0.02
    applications: float = 0.1  # active applications, for each message a second
    chats: float = 10.0  # active chats, for each message a second


class Measured(msgspec.Struct, frozen=True):
    """Bytes and rates that were measured: by `make bench`, and on 40,000 lines of 86 characters.

    The milliseconds are times of a function on Lambda. They are guesses.
    """

    record_bytes: int = 350  # a record with one message
    message_bytes: int = 200  # a message in a batch
    row_bytes: int = 250  # in MySQL, with its indexes
    document_bytes: int = 700  # in the index, without the replica
    page_bytes: int = 9_000  # a response with 50 messages
    response_bytes: int = 400
    idempotency_key_bytes: int = 400  # in Valkey
    chat_bytes: int = 270  # an active chat in Valkey
    log_bytes: int = 1_050  # of a request or a batch, with Lambda's own lines
    chat_log_bytes: int = 400  # more for each chat in a batch
    create_ms: int = 15
    create_batch_ms: int = 30
    read_ms: int = 10
    search_ms: int = 40
    persist_ms: float = 30.0
    persist_message_ms: float = 0.1
    index_ms: float = 50.0
    index_message_ms: float = 0.2
    scripts: int = 26_000  # a second, on one shard
    rows: int = 5_000  # a second, on one processor of MySQL
    pages: int = 2_000  # a second, on one processor of MySQL
    documents: int = 2_500  # a second, on one processor of OpenSearch, for both nodes
    searches: int = 50  # a second, on one processor of OpenSearch
