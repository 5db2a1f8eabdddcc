"""New chats that take many messages at once, through API Gateway: nothing is refused, no number is missing.

Eight clients create 200 chats in 20 applications. Each sends a batch of 500 as soon as its chat is accepted,
and then three more at once. That is twice the lease with which a chat starts.
"""

import asyncio
import time
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

import httpx
import msgspec

from tests.bench.harness import Harness
from tests.bench.measure import plain
from tests.bench.rows import Row

APPLICATIONS, CHATS, CLIENTS = 20, 200, 8
BATCH, BATCHES_AT_ONCE = 500, 3
FIRST_BATCH_WITHIN_SECONDS = 0.05
PERSISTED_WITHIN_SECONDS = 600
MESSAGES = (1 + BATCHES_AT_ONCE) * BATCH
BODY = msgspec.json.encode({"messages": [{"body": f"message {i}"} for i in range(BATCH)]})


class _Run(msgspec.Struct):
    """What the clients saw."""

    refused: list[str] = []
    took: list[float] = []
    chats: dict[str, list[tuple[int, int]]] = {}


def new_chats(harness: Harness) -> Iterator[Row]:
    run = asyncio.run(_run(harness.content["base_url"], harness.content["admin_key"]))
    yield plain("new_chats, refused batches", "", [len(run.refused)], most=0)
    gaps = sum(ranges != _dense() for ranges in run.chats.values())
    yield plain("new_chats, chats with a gap", "", [gaps], most=0)
    yield plain("new_chats, batch, p50", "ms", [quantiles(run.took, n=100)[49] * 1000])
    yield plain("new_chats, batch, p99", "ms", [quantiles(run.took, n=100)[98] * 1000])


def _dense() -> list[tuple[int, int]]:
    return [(first, first + BATCH - 1) for first in range(1, MESSAGES, BATCH)]


async def _run(base_url: str, admin_key: str) -> _Run:
    run = _Run()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits) as http:
        applications = [await _create(http, admin_key) for _ in range(APPLICATIONS)]
        waiting = iter(range(CHATS))

        async def client() -> None:
            for number in waiting:
                await _fill_new_chat(http, run, *applications[number % APPLICATIONS])

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await asyncio.gather(*(_wait_until_persisted(http, *a) for a in applications))
    return run


async def _create(http: httpx.AsyncClient, admin_key: str) -> tuple[str, dict[str, str]]:
    """A new application: the path of its chats, and its credential."""
    headers = {"Authorization": f"Bearer {admin_key}"}
    response = await http.post("/applications", json={"name": "new chats"}, headers=headers)
    created = response.raise_for_status().json()
    path = f"/applications/{created['token']}/chats"
    return path, {"Authorization": f"Bearer {created['secret_key']}"}


async def _fill_new_chat(
    http: httpx.AsyncClient, run: _Run, path: str, credential: dict[str, str]
) -> None:
    response = await http.post(path, json={}, headers=credential)
    accepted_at = time.perf_counter()
    chat = f"{path}/{response.raise_for_status().json()['number']}"
    ranges = run.chats[chat] = []

    async def send() -> None:
        sent_at = time.perf_counter()
        headers = {**credential, "Content-Type": "application/json"}
        response = await http.post(f"{chat}/messages/batch", content=BODY, headers=headers)
        run.took.append(time.perf_counter() - sent_at)
        if response.status_code == 202:
            numbers: dict[str, Any] = response.json()
            ranges.append((numbers["first"], numbers["last"]))
        else:
            run.refused.append(f"{response.status_code} {response.text}")

    first = asyncio.create_task(send())
    await asyncio.sleep(0)  # the request is on its way
    assert time.perf_counter() - accepted_at < FIRST_BATCH_WITHIN_SECONDS
    await first
    await asyncio.gather(*(send() for _ in range(BATCHES_AT_ONCE)))
    ranges.sort()


async def _wait_until_persisted(
    http: httpx.AsyncClient, path: str, credential: dict[str, str]
) -> None:
    until = time.monotonic() + PERSISTED_WITHIN_SECONDS
    while True:
        response = await http.get(path, params={"limit": 100}, headers=credential)
        counts = [chat["messages_count"] for chat in response.raise_for_status().json()["items"]]
        if counts == [MESSAGES] * (CHATS // APPLICATIONS):
            return
        assert time.monotonic() < until, counts
        await asyncio.sleep(1)
