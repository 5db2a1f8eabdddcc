"""How throughput and latency scale, through API Gateway, with the functions that LocalStack runs.

The charts are in `var/bench/*.svg`. Clients, gateway, functions and stores share the machine's processors.
So the curves show where the machine saturates, not how fast AWS is.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles

import httpx
import msgspec
import pygal

from infra.local.paths import ROOT
from tests.bench.accept import MESSAGE
from tests.bench.harness import Harness
from tests.bench.measure import plain
from tests.bench.rows import LATEST, Row

LOGS = Path(os.environ.get("ORDINAL_TEST_IRC_LOGS", ROOT.parent / "shared/data/ubuntu-irc"))
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
CHATS = (1, 2, 4, 8, 16)
SECONDS = 5.0


class Measured(msgspec.Struct):
    """The seconds of each response, and the seconds of the whole measurement."""

    took: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    def percentile(self, percent: int) -> float:
        """A percentile of the response time, in milliseconds."""
        return quantiles(self.took, n=100, method="inclusive")[percent - 1] * 1000


def bulk_import(harness: Harness) -> Iterator[Row]:
    """Import the Ubuntu IRC logs with `chatctl import`. No row if the logs are missing."""
    if not LOGS.is_dir():
        return
    state = LATEST.parent / "import.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.unlink(missing_ok=True)
    command = [sys.executable, "-m", "chatctl", "import", str(LOGS), "--state-file", str(state)]
    command += ["--stack-file", str(harness.description)]
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    lines = sum(
        raw.startswith(b"[") and b"] <" in raw[:9]
        for file in LOGS.glob("[0-9]*.txt")
        for raw in file.read_bytes().split(b"\n")
    )
    yield plain("import", "lines/s", [lines / seconds])


def scaling(harness: Harness) -> Iterator[Row]:
    by_clients = [asyncio.run(_load(harness, clients, 16)) for clients in CLIENTS]
    by_chats = [asyncio.run(_load(harness, 16, chats)) for chats in CHATS]
    for clients, measured in zip(CLIENTS, by_clients, strict=True):
        yield from _rows(f"scaling, {clients} clients", measured)
    for chats, measured in zip(CHATS, by_chats, strict=True):
        yield from _rows(f"scaling, 16 clients on {chats} chats", measured)
    _draw("clients", "Clients at once, each on one of 16 chats", CLIENTS, by_clients)
    _draw("chats", "Chats that 16 clients share", CHATS, by_chats)


def _rows(name: str, measured: Measured) -> Iterator[Row]:
    yield plain(f"{name}, rate", "1/s", [measured.rate])
    yield plain(f"{name}, p50", "ms", [measured.percentile(50)])
    yield plain(f"{name}, p99", "ms", [measured.percentile(99)])


class Tenant:
    """An application and its chats, over HTTP."""

    def __init__(self, harness: Harness, client: httpx.AsyncClient) -> None:
        self._base = harness.content["base_url"]
        self._admin = harness.content["admin_key"]
        self._client = client

    async def create(self, chats: int) -> None:
        created = await self._post("/applications", {"name": "scaling"}, self._admin)
        self._path, self._key = f"/applications/{created['token']}/chats", created["secret_key"]
        for _ in range(chats):
            await self._post(self._path, {}, self._key)

    async def post_message(self, chat: int) -> float:
        """Post a message. Returns the seconds that it took."""
        began = time.perf_counter()
        await self._post(f"{self._path}/{chat}/messages", MESSAGE, self._key)
        return time.perf_counter() - began

    async def _post(self, path: str, body: dict[str, str], key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {key}"}
        response = await self._client.post(self._base + path, json=body, headers=headers)
        assert response.status_code < 300, response.text
        resource: dict[str, str] = response.json()
        return resource


async def _load(harness: Harness, clients: int, chats: int) -> Measured:
    async with _client() as http:
        tenant = Tenant(harness, http)
        await tenant.create(chats)
        await asyncio.gather(*(tenant.post_message(1 + n % chats) for n in range(clients)))
        took: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(
            *(_repeat(tenant, 1 + n % chats, began + SECONDS, took) for n in range(clients))
        )
        return Measured(took, time.perf_counter() - began)


async def _repeat(tenant: Tenant, chat: int, until: float, took: list[float]) -> None:
    while time.perf_counter() < until:
        took.append(await tenant.post_message(chat))


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None))


def _draw(name: str, title: str, sizes: Sequence[int], measured: Sequence[Measured]) -> None:
    p50, p99 = ([m.percentile(percent) for m in measured] for percent in (50, 99))
    chart = draw_chart(title, sizes, [m.rate for m in measured], p50, p99)
    chart.render_to_file(str(LATEST.parent / f"{name}.svg"))


def draw_chart(
    title: str,
    sizes: Sequence[int],
    rates: Sequence[float],
    p50: Sequence[float],
    p99: Sequence[float],
) -> pygal.Line:
    """A chart with messages a second on the left axis and milliseconds on the right axis."""
    chart = pygal.Line(
        title=title,
        y_title="messages a second",
        width=760,
        height=380,
        js=[],
        no_prefix=True,
        pretty_print=True,
        disable_xml_declaration=True,
        legend_at_bottom=True,
        value_formatter=lambda value: f"{value:,.0f}",
    )
    chart.x_labels = [str(size) for size in sizes]
    chart.add("messages a second", rates)
    chart.add("p50, ms (right)", p50, secondary=True)
    chart.add("p99, ms (right)", p99, secondary=True)
    return chart
