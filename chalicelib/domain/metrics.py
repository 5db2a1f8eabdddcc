"""What is measured: names, units and meanings. `docs/metrics.md` lists them, and a test holds it to this.

CloudWatch keeps every metric under the namespace `Ordinal`, by `stage` and `service` (`api`, `workers`,
`schedules`), and where a metric says `by`, by that as well.
"""

from typing import Literal

import msgspec

NAMESPACE = "Ordinal"

Unit = Literal["Count", "Milliseconds"]


class Metric(msgspec.Struct, frozen=True):
    """`by` names the one dimension that a metric has beside stage and service."""

    name: str
    unit: Unit
    by: str | None = None


CHATS_ACCEPTED = Metric("ChatsAccepted", "Count")
MESSAGES_ACCEPTED = Metric("MessagesAccepted", "Count")
CHANGES_ACCEPTED = Metric("ChangesAccepted", "Count")
REPLAYS = Metric("Replays", "Count")
HELD_BACK = Metric("RequestsHeldBack", "Count")
RATE_LIMITED = Metric("RequestsRateLimited", "Count", by="limit")
ERRORS = Metric("Errors", "Count", by="code")

CHATS_PERSISTED = Metric("ChatsPersisted", "Count")
MESSAGES_PERSISTED = Metric("MessagesPersisted", "Count")
MESSAGES_INDEXED = Metric("MessagesIndexed", "Count")
RECORD_LAG = Metric("RecordLag", "Milliseconds", by="queue")
RECORDS_AGAIN = Metric("RecordsAgain", "Count", by="queue")
RECORDS_BURIED = Metric("RecordsBuried", "Count", by="queue")

LEASES_BEGUN = Metric("LeasesBegun", "Count")
LEASES_BEGUN_ANEW = Metric("LeasesBegunAnew", "Count")
NUMBERS_SKIPPED = Metric("NumbersSkipped", "Count")
LEASES_RAISED = Metric("LeasesRaised", "Count")

PENDING_AGE = Metric("OldestPendingAge", "Milliseconds")
SENT_AGAIN = Metric("SentAgain", "Count")
DEAD_LETTERS = Metric("DeadLetters", "Count", by="queue")

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
