"""What the model is given: prices, what clients do, what was measured. The rest is the product's own."""

from typing import NamedTuple

import msgspec

SECONDS = 730 * 3600  # of a month, as AWS counts it


class Price(NamedTuple):
    """Steps of an AWS list price in us-east-1: up to so many units a month, then the next."""

    unit: str
    steps: tuple[tuple[float, float], ...]
    source: str

    def of(self, units: float) -> float:
        """Dollars a month."""
        cost, below = 0.0, 0.0
        for up_to, dollars in self.steps:
            cost += (min(units, up_to) - below) * dollars
            below = up_to
            if units <= up_to:
                break
        return cost


def _flat(unit: str, dollars: float, source: str) -> Price:
    return Price(unit, ((float("inf"), dollars),), source)


_END = float("inf")
# Found in 2026 on pages of AWS, or of others who quote it; or from memory. docs/scaling.md says more.
FOUND, MEMORY = "found", "from memory"
PRICES = {
    "lambda time": Price(
        "GB-s, arm64",
        ((7.5e9, 0.0000133334), (18.75e9, 0.0000120001), (_END, 0.0000106667)),
        FOUND,
    ),
    "lambda requests": _flat("million calls", 0.20, FOUND),
    "gateway": Price(
        "million calls, REST", ((333, 3.50), (1000, 2.80), (20_000, 2.38), (_END, 1.51)), FOUND
    ),
    "sqs": Price(
        "million requests of 64 KB", ((100_000, 0.40), (200_000, 0.30), (_END, 0.24)), FOUND
    ),
    "sqs fair": _flat("million requests with a group, on top", 0.10, FOUND),
    "transfer": Price(
        "GB out to the internet",
        ((10_240, 0.09), (51_200, 0.085), (153_600, 0.07), (_END, 0.05)),
        FOUND,
    ),
    "logs": Price(
        "GB of Lambda's logs",
        ((10_240, 0.50), (30_720, 0.25), (51_200, 0.10), (_END, 0.05)),
        MEMORY,
    ),
    "valkey": _flat("hour of a cache.m7g.large", 0.1264, MEMORY),
    "mysql": _flat("hour of 2 processors of db.m7g, in two zones", 0.337, MEMORY),
    "mysql disk": _flat("GB-month of gp3, in two zones", 0.23, FOUND),
    "opensearch": _flat("hour of 2 processors of m7g.search", 0.135, MEMORY),
    "opensearch disk": _flat("GB-month of gp3", 0.122, MEMORY),
    "endpoint": _flat("hour of an endpoint in a zone", 0.01, MEMORY),
    "endpoint data": _flat("GB through endpoints", 0.01, MEMORY),
    "fixed": _flat("month: 4 secrets, a key, about 30 alarms and 40 metrics", 18.0, MEMORY),
}


class Mix(msgspec.Struct, frozen=True):
    """What clients do for each message that is posted, day and night."""

    batched: float = 0.5  # share of the messages that come in batches
    batch: int = 25
    pages: float = 2.0  # of messages, changes or unread counts
    searches: float = 0.02
    applications: float = 0.1  # active ones, for each message a second
    chats: float = 10.0  # active ones, for each message a second


class Measured(msgspec.Struct, frozen=True):
    """Bytes and rates of `make bench` and of 40,000 lines of 86 characters; times on Lambda are guesses."""

    record_bytes: int = 350  # a record with one message
    message_bytes: int = 200  # a message in a batch
    row_bytes: int = 250  # in MySQL, with its indexes
    document_bytes: int = 700  # in the index, without the copy
    page_bytes: int = 9_000  # an answer with 50 messages
    answer_bytes: int = 400
    key_bytes: int = 400  # an Idempotency-Key in Valkey
    chat_bytes: int = 270  # an active chat in Valkey
    log_bytes: int = 1_050  # of a request or a batch, with Lambda's own lines
    chat_log_bytes: int = 400  # more for each chat in a batch
    post_ms: int = 15
    batch_ms: int = 30
    read_ms: int = 10
    search_ms: int = 40
    persist_ms: float = 30.0
    persist_message_ms: float = 0.1
    index_ms: float = 50.0
    index_message_ms: float = 0.2
    scripts: int = 26_000  # a second, of a shard
    rows: int = 5_000  # a second, of a processor of MySQL
    pages: int = 2_000  # the same
    documents: int = 2_500  # a second, of a processor of OpenSearch, on both nodes
    searches: int = 50  # the same
