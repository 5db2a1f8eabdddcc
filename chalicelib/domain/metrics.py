"""Names and units of the metrics. `docs/metrics.md` has their meanings, and a test compares the two.

CloudWatch stores every metric in the namespace `Ordinal`, by `stage` and `service` (`api`, `workers`,
`schedules`). A metric with `by` has that dimension as well.
"""

from typing import Literal

import msgspec

NAMESPACE = "Ordinal"

Unit = Literal["Count", "Milliseconds"]


class Metric(msgspec.Struct, frozen=True):
    """`by` names the dimension that a metric has in addition to stage and service, if any."""

    name: str
    unit: Unit
    by: str | None = None


CHATS_ACCEPTED = Metric("ChatsAccepted", "Count")
MESSAGES_ACCEPTED = Metric("MessagesAccepted", "Count")
CHANGES_ACCEPTED = Metric("ChangesAccepted", "Count")
IDEMPOTENT_REPLAYS = Metric("IdempotentReplays", "Count")
BACKPRESSURE_REFUSALS = Metric("BackpressureRefusals", "Count")
RATE_LIMITED = Metric("RequestsRateLimited", "Count", by="limit")
ERRORS = Metric("Errors", "Count", by="code")

CHATS_PERSISTED = Metric("ChatsPersisted", "Count")
MESSAGES_PERSISTED = Metric("MessagesPersisted", "Count")
MESSAGES_INDEXED = Metric("MessagesIndexed", "Count")
RECORD_LAG = Metric("RecordLag", "Milliseconds", by="queue")
RECORDS_RETRIED = Metric("RecordsRetried", "Count", by="queue")
RECORDS_NOT_STARTED = Metric("RecordsNotStarted", "Count", by="queue")
RECORDS_DEAD_LETTERED = Metric("RecordsDeadLettered", "Count", by="queue")

LEASES_ACQUIRED = Metric("LeasesAcquired", "Count")
LEASES_REACQUIRED = Metric("LeasesReacquired", "Count")
NUMBERS_SKIPPED = Metric("NumbersSkipped", "Count")
LEASES_EXTENDED = Metric("LeasesExtended", "Count")

PENDING_AGE = Metric("OldestPendingAge", "Milliseconds")
PENDING_RESENT = Metric("PendingResent", "Count")
DEAD_LETTERS = Metric("DeadLetters", "Count", by="queue")

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
