"""Waits until the system is quiescent after a fault, judges the run, and prints the table of all runs."""

import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec
import pymysql
import redis
from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.harness import Harness
from tests.faults.load import Load
from tests.faults.stored_data import read_stored
from tests.invariants.check import broken
from tests.invariants.history import History
from tests.invariants.responses import creations
from tests.invariants.stored import Stored

# An entry is overdue after 60 s, and overdue again after another 60 s.
_PATIENCE_SECONDS = 240.0
# A promise counts as broken if nothing is left over for this time and it is still broken.
_GRACE_SECONDS = 6.0
_PAUSE_SECONDS = 1.0
_CONNECTION_ERRORS = (
    httpx.HTTPError,
    pymysql.MySQLError,
    redis.RedisError,
    BotoCoreError,
    ClientError,
)
_HEAD = (
    "fault",
    "requests during it",
    "acknowledged",
    "stored",
    "lost",
    "doubled",
    "numbers skipped",
    "seconds to recover",
)


class Verdict(msgspec.Struct):
    """One row of the table, and the violations."""

    fault: str
    requests: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    skipped: int
    seconds: float
    broken: list[str]


def judge(harness: Harness, load: Load, fault: str, requests: int, since: float) -> Verdict:
    """Wait until every promise holds, or can no longer hold. The fault ended at `since`."""
    stored, violations, seconds = _wait_until_quiescent(harness, load, since)
    acknowledged, present = _count_acknowledged(load.history, stored)
    return Verdict(
        fault=fault,
        requests=requests,
        acknowledged=acknowledged,
        stored=present,
        lost=acknowledged - present,
        doubled=sum(v.startswith(("numbers_issued", "texts_stored")) for v in violations),
        skipped=sum(b - a + 1 for c in stored.chats.values() for a, b in c.skipped),
        seconds=seconds,
        broken=violations + [f"wrongly refused: {refusal}" for refusal in load.wrongly_refused],
    )


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """The table, and the violations below it."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *map(_row, verdicts)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for verdict in verdicts:
        lines += [f"\n{verdict.fault}:\n"] if verdict.broken else []
        lines += [f"- {violation}" for violation in verdict.broken]
    return "\n".join(lines) + "\n"


def write(verdicts: Sequence[Verdict], file: Path) -> None:
    """Write the table. Call this after each scenario, so that an interrupted run leaves its results."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_markdown(verdicts))


def _wait_until_quiescent(
    harness: Harness, load: Load, since: float
) -> tuple[Stored, list[str], float]:
    """What is stored, the violations, and the seconds since the end of the fault."""
    deadline, quiescent_since = time.monotonic() + _PATIENCE_SECONDS, None
    stored, violations = Stored(), ["nothing could be read"]
    while time.monotonic() < deadline:
        try:
            harness.invoke("repair_pending")
            stored = read_stored(harness, load)
            violations, now = broken(load.history, stored), time.monotonic()
            if all(violation.startswith("wrong_copies") for violation in violations):
                # Everything has recovered. Copies may still lag far behind the change feed.
                load.follow_to_the_end()
                violations = broken(load.history, stored)
        except _CONNECTION_ERRORS as error:
            violations, now = [f"unreadable: {error}"], time.monotonic()
        if not violations:
            return stored, [], now - since
        is_quiescent = not any(v.startswith(("leftovers", "unreadable")) for v in violations)
        quiescent_since = (quiescent_since or now) if is_quiescent else None
        if quiescent_since is not None and now - quiescent_since > _GRACE_SECONDS:
            break
        time.sleep(_PAUSE_SECONDS)
    return stored, violations, time.monotonic() - since


def _count_acknowledged(history: History, stored: Stored) -> tuple[int, int]:
    """How many messages and chats were acknowledged, and how many of them are stored."""
    acknowledged = {(attempt.token, attempt.chat, n) for attempt, n, _, _ in creations(history)}
    rows: set[tuple[str, int | None, int]] = {(t, None, number) for t, number in stored.chats}
    rows |= {(t, c, n) for (t, c), row in stored.chats.items() for n in row.messages}
    return len(acknowledged), len(acknowledged & rows)


def _row(verdict: Verdict) -> tuple[str, ...]:
    counts = (
        verdict.requests,
        verdict.acknowledged,
        verdict.stored,
        verdict.lost,
        verdict.doubled,
        verdict.skipped,
    )
    return (verdict.fault, *(f"{count:,}" for count in counts), f"{verdict.seconds:.1f}")
