"""What MySQL, Redis and OpenSearch say differently, in numbers."""

from itertools import chain

import msgspec
import redis

from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.operators.counter_limits import Allowances
from chalicelib.operators.recount import Recount
from chalicelib.usecases.maintenance import token_pages
from chatctl.failures import ChatctlError
from chatctl.verify_index import MISSING, NEWER, OLDER, ONLY, IndexCheck
from chatctl.verify_redis import odd_counters, pending_revisions


class Report(msgspec.Struct, kw_only=True):
    """Numbers of messages, counters or counts. `under_way` is what time alone mends."""

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
    under_way: dict[str, int] = {}
    examples: list[str] = []

    @property
    def differs(self) -> bool:
        """Whether anything differs that time alone does not mend. Skipped numbers are no difference."""
        index = (self.missing_in_opensearch, self.older_in_opensearch, self.newer_in_opensearch)
        redis = (self.counters_behind, self.ceilings_too_high)
        return any((*index, self.only_in_opensearch, *redis, self.counts_wrong))


def verify(
    store: MySqlStore,
    allowances: Allowances,
    client: redis.Redis,
    index: IndexCheck,
    only: str | None,
) -> Report:
    """Compare one application, or all. Raises `ChatctlError` where there is no such application."""
    if only is not None and store.applications.get_application(only) is None:
        raise ChatctlError(f"there is no application {only}")
    report = Report()
    pages = token_pages(store.applications.list_tokens) if only is None else [[only]]
    for token in chain.from_iterable(pages):
        report.applications += 1
        _pending(report, store, client, token)
        _counters(report, allowances, client, token)
        _counts(report, store, token)
        report.skipped_numbers += allowances.skipped_messages(token)
    _index(report, index, only)
    return report


def _pending(report: Report, store: MySqlStore, client: redis.Redis, token: str) -> None:
    """Entries are read before MySQL: what was stored in between counts as stored."""
    for counter, pending in pending_revisions(client, token):
        stored = store.messages.revisions(counter, list(pending))
        for number, revision in pending.items():
            there = stored.get(number, -1) >= revision
            _add(report, "pending_and_stored" if there else "pending_not_stored", 1)


def _counters(report: Report, allowances: Allowances, client: redis.Redis, token: str) -> None:
    for odd in odd_counters(client, allowances, token):
        if odd.behind:
            report.counters_behind += 1
        else:
            report.ceilings_too_high += 1
        chat = odd.counter.chat
        where = f"{token} chats" if chat is None else f"{token} chat {chat}"
        report.examples.append(f"counter: {where}: {odd.what}")


def _counts(report: Report, store: MySqlStore, token: str) -> None:
    for chat, count, said, counted in Recount(store.database).recount(token):
        report.counts_wrong += 1
        where = token if chat is None else f"{token} chat {chat}"
        report.examples.append(f"count: {where}: {count} says {said:,}, the rows say {counted:,}")


def _index(report: Report, index: IndexCheck, only: str | None) -> None:
    verdict = index.run(only)
    report.messages = verdict.messages
    report.missing_in_opensearch = verdict.lasting[MISSING]
    report.older_in_opensearch = verdict.lasting[OLDER]
    report.newer_in_opensearch = verdict.lasting[NEWER]
    report.only_in_opensearch = verdict.lasting[ONLY]
    for kind, count in verdict.under_way.items():
        _add(report, f"{kind}_in_opensearch", count)
    report.examples += verdict.examples


def _add(report: Report, what: str, count: int) -> None:
    report.under_way[what] = report.under_way.get(what, 0) + count
