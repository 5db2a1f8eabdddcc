"""Do MySQL, Redis and OpenSearch hold the same? The answer in numbers."""

import msgspec
import redis

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.models import AppToken
from chalicelib.operators.errors import NoSuchApplicationError, reported_as
from chalicelib.operators.pending import pending_revisions
from chalicelib.operators.recount import Recount
from chalicelib.operators.scan import live_tokens
from chalicelib.operators.verify_counters import CounterLimits, counter_mismatches
from chalicelib.operators.verify_index import MISSING, NEWER, OLDER, ONLY, IndexCheck


class Report(msgspec.Struct, kw_only=True):
    """Numbers of messages, counters or counts. `temporary` has the differences that time alone ends."""

    applications: int = 0
    messages: int = 0
    missing_in_opensearch: int = 0
    older_in_opensearch: int = 0
    newer_in_opensearch: int = 0
    only_in_opensearch: int = 0
    counters_behind: int = 0
    ceilings_too_high: int = 0
    counts_wrong: int = 0
    skipped_numbers: int = 0
    temporary: dict[str, int] = {}
    examples: list[str] = []

    @property
    def differs(self) -> bool:
        """Whether there is a permanent difference. Skipped numbers are none."""
        index = (self.missing_in_opensearch, self.older_in_opensearch, self.newer_in_opensearch)
        redis = (self.counters_behind, self.ceilings_too_high)
        return any((*index, self.only_in_opensearch, *redis, self.counts_wrong))

    def add_temporary(self, kind: str, count: int) -> None:
        self.temporary[kind] = self.temporary.get(kind, 0) + count


@reported_as("Redis", redis.RedisError)
def verify(
    store: MySqlStore, client: redis.Redis, index: IndexCheck, only: AppToken | None = None
) -> Report:
    """Compare one application, or all.

    Raises `NoSuchApplicationError`, `RequestFailedError`, `UnavailableError`.
    """
    if only is not None and store.applications.get_application(only) is None:
        raise NoSuchApplicationError(f"there is no application {only}")
    report = Report()
    limits = CounterLimits(store.database)
    for token in live_tokens(store.applications.list_tokens, only):
        report.applications += 1
        _compare_pending(report, store, client, token)
        _compare_counters(report, limits, client, token)
        _compare_counts(report, store, token)
        report.skipped_numbers += limits.skipped_messages(token)
    _compare_index(report, index, only)
    return report


def _compare_pending(
    report: Report, store: MySqlStore, client: redis.Redis, token: AppToken
) -> None:
    """Redis is read before MySQL: a version that was stored in between counts as stored."""
    for counter, pending in pending_revisions(client, token):
        stored = store.messages.revisions({counter: list(pending)})[counter]
        for number, revision in pending.items():
            is_stored = stored.get(number, -1) >= revision
            report.add_temporary("pending_and_stored" if is_stored else "pending_not_stored", 1)


def _compare_counters(
    report: Report, limits: CounterLimits, client: redis.Redis, token: AppToken
) -> None:
    for mismatch in counter_mismatches(client, limits, token):
        if mismatch.behind:
            report.counters_behind += 1
        else:
            report.ceilings_too_high += 1
        chat = mismatch.counter.chat
        counter = f"{token} chats" if chat is None else f"{token} chat {chat}"
        report.examples.append(f"counter: {counter}: {mismatch.text}")


def _compare_counts(report: Report, store: MySqlStore, token: AppToken) -> None:
    for mismatch in Recount(store.database).recount(token):
        report.counts_wrong += 1
        report.examples.append(f"count: {mismatch.text(token)}")


def _compare_index(report: Report, index: IndexCheck, only: AppToken | None) -> None:
    result = index.run(only)
    report.messages = result.messages
    report.missing_in_opensearch = result.permanent[MISSING]
    report.older_in_opensearch = result.permanent[OLDER]
    report.newer_in_opensearch = result.permanent[NEWER]
    report.only_in_opensearch = result.permanent[ONLY]
    for kind, count in result.temporary.items():
        report.add_temporary(f"{kind}_in_opensearch", count)
    report.examples += result.examples
