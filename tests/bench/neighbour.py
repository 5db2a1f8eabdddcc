"""A tenant at a steady rate, beside a tenant that sends three times what its rate limit allows.

The control runs the same steady tenant beside programs that use as many processors as the other tenant did.
So the difference is what the product lets one tenant do to another. Four processes of the API, the workers,
both tenants and the stores share this machine. If they use more than 70 % of its processors, the figures say
nothing.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from statistics import quantiles
from typing import Any

import msgspec

from chalicelib.adapters.redis.codec import due_key
from chalicelib.adapters.redis.connection import connect
from tests.bench.api import MESSAGES
from tests.bench.clients import Load, Outcome, burning, clients
from tests.bench.floods import (
    EDITS_MEASURED,
    FLOODS,
    LIMIT,
    Edits,
    Flood,
    FullPosts,
    Neighbour,
    Posts,
    Tenant,
    WaitingRecords,
    fill,
    inbox_message,
    new_tenant,
    wait_until,
)
from tests.bench.harness import Harness
from tests.bench.measure import plain
from tests.bench.processes import Product, running_product, running_valkey
from tests.bench.rows import Row
from tests.contract.cluster import Cluster, running_cluster

ROUNDS, SECONDS, WARM_UP_SECONDS = 2, 15.0, 12.0
MOST_SLOWER, MOST_BUSY_PERCENT, MOST_EDIT_BYTES = 1.5, 70, 1_024
FULL_BYTES = 64_000_000
# So many other applications fill Redis as far as they may.
FILLERS = 12
MOST_BATCHES = 1_000
INBOX_RECORDS, INBOX_SECONDS = 50, 30.0
_SETTINGS = {
    "ORDINAL_APPLICATION_RATE": str(LIMIT),
    "ORDINAL_USER_RATE": str(LIMIT),
    "ORDINAL_LEASE_WINDOW": "1000",
}
_PROCESSORS = os.cpu_count() or 1


def neighbour(harness: Harness) -> Iterator[Row]:
    yield from _floods(harness)
    yield from _full_redis(harness)
    yield from _lost_node(harness)


def _floods(harness: Harness, floods: Sequence[type[Flood]] = FLOODS) -> Iterator[Row]:
    with running_product(harness, _SETTINGS) as product:
        bench = Bench(harness, product, harness.redis_url)
        for flood in floods:
            bench.reset()
            yield from bench.measure(flood)


def _full_redis(harness: Harness) -> Iterator[Row]:
    with running_valkey(FULL_BYTES) as url:
        environment = {**_SETTINGS, "ORDINAL_REDIS_URL": url}
        with running_product(harness, environment) as product:
            yield from Bench(harness, product, url).measure_full()


def _lost_node(harness: Harness) -> Iterator[Row]:
    with running_cluster() as cluster:
        environment = {**_SETTINGS, "ORDINAL_REDIS_URL": cluster.url}
        with running_product(harness, environment) as product:
            yield from Bench(harness, product, cluster.url).measure_lost_node(cluster)


class Run(msgspec.Struct):
    """The outcomes of all rounds: of the neighbour beside a flood, of the flood, and of the control."""

    beside: list[Outcome] = []
    noisy: list[Outcome] = []
    control: list[Outcome] = []


class Bench:
    """Runs floods against one deployment of the product."""

    def __init__(self, harness: Harness, product: Product, redis_url: str) -> None:
        self._harness, self._product, self._redis_url = harness, product, redis_url
        self._admin_key = harness.environment["ORDINAL_ADMIN_KEY"]

    def reset(self) -> None:
        """Nothing of an earlier flood is left in the queues or in Redis."""
        self._harness.purge_queues()
        with self._redis() as client:
            client.flushdb()

    def measure(self, flood: type[Flood]) -> Iterator[Row]:
        steady, noisy = self._new_neighbour(), self._new_tenant()
        arguments: tuple[Any, ...] = (noisy,)
        if flood is WaitingRecords:
            arguments += (self._harness.queue_urls["inbox"],)
        with self._without(flood.paused):
            flood.prepare(self._product, noisy)
            if flood is Edits:
                yield self._bytes_of_an_edit(noisy)
            if flood is WaitingRecords:
                yield self._accepted_from_inbox(steady, noisy)
            yield from rows_of(flood.name, self._run(flood, steady, arguments))

    def measure_full(self) -> Iterator[Row]:
        steady, noisy = self._new_neighbour(), self._new_tenant()
        with self._without(Posts.paused):
            for filler in (noisy, *(self._new_tenant() for _ in range(FILLERS))):
                Posts.prepare(self._product, filler)
                fill(self._product, filler, 1, MOST_BATCHES)
            with self._redis() as client:
                used = int(client.info("memory")["used_memory"])
            yield plain("neighbour, full Redis, memory in use", "%", [used / FULL_BYTES * 100])
            yield from rows_of("full Redis", self._run(FullPosts, steady, (noisy,)))

    def measure_lost_node(self, cluster: Cluster) -> Iterator[Row]:
        healthy, lost, _ = cluster.ports
        steady = self._new_neighbour(lambda token: cluster.port_of(token) == healthy)
        noisy = self._new_tenant(lambda token: cluster.port_of(token) == lost)
        Posts.prepare(self._product, noisy)
        cluster.kill(lost)
        yield from rows_of("node of Redis down", self._run(Posts, steady, (noisy,)))

    def _run(self, flood: type[Flood], steady: Tenant, arguments: tuple[Any, ...]) -> Run:
        run = Run()
        alone = self._steady(steady).busy
        for _ in range(ROUNDS):
            seconds = WARM_UP_SECONDS + SECONDS + 1
            load = Load(flood, arguments, flood.per_second, flood.connections, seconds)
            with clients(self._product.socket, load) as noisy:
                noisy.start()
                time.sleep(WARM_UP_SECONDS)  # the burst that the bucket allows is over then
                run.beside.append(self._steady(steady))
                run.noisy.append(noisy.outcome())
            self._product.wait_for_empty_queues(flood.paused)
            with burning((run.beside[-1].busy - alone) * _PROCESSORS):
                run.control.append(self._steady(steady))
        return run

    def _steady(self, tenant: Tenant) -> Outcome:
        load = Load(Neighbour, (tenant,), Neighbour.per_second, Neighbour.connections, SECONDS)
        with clients(self._product.socket, load) as steady:
            steady.start()
            return steady.outcome()

    def _bytes_of_an_edit(self, noisy: Tenant) -> Row:
        edits = Edits(noisy)
        used: list[int] = []
        with self._redis() as client:
            for edited in (1, EDITS_MEASURED):
                for number in range(edited):
                    self._product.send_unlimited(edits.next_event(number))
                wait_until(lambda: client.zcard(due_key(noisy.token)) == 0)
                # Without the buffers of connections.
                used.append(client.info("memory")["used_memory_dataset"])
        bytes_an_edit = (used[1] - used[0]) / EDITS_MEASURED
        name = "neighbour, bytes of Redis an edit"
        return plain(name, "bytes", [bytes_an_edit], most=MOST_EDIT_BYTES)

    def _accepted_from_inbox(self, steady: Tenant, noisy: Tenant) -> Row:
        """The neighbour's records among records that must wait, as many of each."""
        sqs, url = self._harness.sqs, self._harness.queue_urls["inbox"]
        for number in range(INBOX_RECORDS):
            for tenant in (noisy, steady):
                sqs.send_message(QueueUrl=url, MessageBody=inbox_message(tenant, f"inbox {number}"))
        page = steady.event("GET", MESSAGES, None, {"limit": "100"}, chat=1)
        accepted = 0
        until = time.monotonic() + INBOX_SECONDS
        while accepted < INBOX_RECORDS and time.monotonic() < until:
            time.sleep(0.2)  # the pause between two checks
            items = self._product.send_unlimited(page)["items"]
            accepted = sum(item["body"].startswith("inbox") for item in items)
        share = accepted / INBOX_RECORDS * 100
        return plain("neighbour, inbox records accepted", "%", [share], least=100)

    def _new_tenant(self, is_wanted: Callable[[str], bool] = lambda token: True) -> Tenant:
        while not is_wanted((tenant := new_tenant(self._product, self._admin_key)).token):
            pass
        return tenant

    def _new_neighbour(self, is_wanted: Callable[[str], bool] = lambda token: True) -> Tenant:
        tenant = self._new_tenant(is_wanted)
        Neighbour.prepare(self._product, tenant)
        return tenant

    def _without(self, queue: str) -> AbstractContextManager[None]:
        return self._product.paused(queue) if queue else nullcontext()

    def _redis(self) -> AbstractContextManager[Any]:
        return closing(connect(self._redis_url))


def rows_of(name: str, run: Run) -> Iterator[Row]:
    """The neighbour's figures, and what both tenants got other than what they asked for."""
    beside, control = (
        quantiles([s * 1000 for o in outcomes for s in o.seconds], n=100)[98]
        for outcomes in (run.beside, run.control)
    )
    yield Row(
        name=f"neighbour, {name}, p99",
        value=beside,
        unit="ms",
        floor=control,
        ratio=beside / control,
        goal=f"≤ {MOST_SLOWER:g} ×",
        reached=beside / control <= MOST_SLOWER,
    )
    planned = ROUNDS * int(Neighbour.per_second * SECONDS)
    served = sum(outcome.served for outcome in run.beside) / planned * 100
    yield plain(f"neighbour, {name}, served", "%", [served], least=100)
    busy = max(outcome.busy for outcome in (*run.beside, *run.control)) * 100
    yield plain(f"neighbour, {name}, processors", "%", [busy], most=MOST_BUSY_PERCENT)
    for who, outcomes in (("neighbour", run.beside), ("flood", run.noisy)):
        replies = sum((outcome.replies for outcome in outcomes), Counter[str]())
        for reply, count in sorted(replies.items()):
            if who == "flood" or not reply.startswith("2"):
                yield plain(f"neighbour, {name}, {who} got {reply}", "", [count])
