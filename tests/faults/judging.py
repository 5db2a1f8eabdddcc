"""Waits until all is calm after a fault, and says what came of it."""

import time

import httpx
import msgspec
import pymysql
import redis
from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.ground import Ground
from tests.faults.load import Load
from tests.faults.reading import read_stored
from tests.promises.answers import creates
from tests.promises.check import broken
from tests.promises.history import History
from tests.promises.stored import Stored

# An entry is overdue after 60 s, and the next time after as long again.
_PATIENCE_SECONDS = 240.0
# So long nothing may be left over, and a promise still broken, before it counts as broken for good.
_GRACE_SECONDS = 6.0
_PAUSE_SECONDS = 1.0
_NOT_NOW = (
    httpx.HTTPError,
    pymysql.MySQLError,
    redis.RedisError,
    BotoCoreError,
    ClientError,
)


class Verdict(msgspec.Struct):
    """One line of the table, and the promises that were broken."""

    fault: str
    requests: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    skipped: int
    seconds: float
    broken: list[str]


def judge(ground: Ground, load: Load, fault: str, requests: int, since: float) -> Verdict:
    """Wait until every promise is kept, or will not be; `since` is when the fault was over."""
    stored, said, seconds = _calm(ground, load, since)
    acknowledged, kept = _acknowledged(load.history, stored)
    return Verdict(
        fault=fault,
        requests=requests,
        acknowledged=acknowledged,
        stored=kept,
        lost=acknowledged - kept,
        doubled=sum(one.startswith(("numbers_given", "texts_stored")) for one in said),
        skipped=sum(b - a + 1 for c in stored.chats.values() for a, b in c.skipped),
        seconds=seconds,
        broken=said + [f"wrongly refused: {one}" for one in load.wrongly_refused],
    )


def _calm(ground: Ground, load: Load, since: float) -> tuple[Stored, list[str], float]:
    give_up, quiet_since = time.monotonic() + _PATIENCE_SECONDS, None
    stored, said = Stored(), ["nothing could be read"]
    while time.monotonic() < give_up:
        try:
            ground.invoke("repair_pending")
            stored = read_stored(ground, load)
            said, now = broken(load.history, stored), time.monotonic()
            if all(one.startswith("wrong_copies") for one in said):
                # All has recovered; who follows may have much to ask for yet.
                load.follow_to_the_end()
                said = broken(load.history, stored)
        except _NOT_NOW as error:
            said, now = [f"not to be read: {error}"], time.monotonic()
        if not said:
            return stored, [], now - since
        is_quiet = not any(one.startswith(("left_overs", "not to be read")) for one in said)
        quiet_since = (quiet_since or now) if is_quiet else None
        if quiet_since is not None and now - quiet_since > _GRACE_SECONDS:
            break
        time.sleep(_PAUSE_SECONDS)
    return stored, said, time.monotonic() - since


def _acknowledged(history: History, stored: Stored) -> tuple[int, int]:
    """Messages and chats that clients were told are kept, and how many of them are."""
    places = {(act.token, act.chat, n) for act, n, _, _ in creates(history)}
    rows: set[tuple[str, int | None, int]] = {(t, None, number) for t, number in stored.chats}
    rows |= {(t, c, n) for (t, c), row in stored.chats.items() for n in row.messages}
    return len(places), len(places & rows)
