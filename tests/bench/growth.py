"""How cost grows: through API Gateway, with the functions that are deployed on LocalStack.

What is drawn is in `var/bench/*.svg`. The machine's processors are shared by clients, gateway, functions and
stores, so these curves say where it bends, not how fast AWS is.
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

from infra.local.layout import ROOT
from tests.bench.accept import ONE
from tests.bench.ground import Ground
from tests.bench.measure import plain
from tests.bench.rows import LATEST, Row

LOGS = Path(os.environ.get("ORDINAL_TEST_IRC_LOGS", ROOT.parent / "shared/data/ubuntu-irc"))
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
CHATS = (1, 2, 4, 8, 16)
SECONDS = 5.0


class Seen(msgspec.Struct):
    """Seconds that answers took, and how long it was looked."""

    took: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    def percentile(self, which: int) -> float:
        """In milliseconds."""
        return quantiles(self.took, n=100, method="inclusive")[which - 1] * 1000


def bulk_import(ground: Ground) -> Iterator[Row]:
    """The Ubuntu IRC logs, as `chatctl import` brings them in. Nothing where they are not there."""
    if not LOGS.is_dir():
        return
    state = LATEST.parent / "import.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.unlink(missing_ok=True)
    command = [sys.executable, "-m", "chatctl", "import", str(LOGS), "--state-file", str(state)]
    command += ["--stack-file", str(ground.description)]
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    lines = sum(
        raw.startswith(b"[") and b"] <" in raw[:9]
        for file in LOGS.glob("[0-9]*.txt")
        for raw in file.read_bytes().split(b"\n")
    )
    yield plain("import", "lines/s", [lines / seconds])


def growth(ground: Ground) -> Iterator[Row]:
    by_clients = [asyncio.run(_load(ground, clients, 16)) for clients in CLIENTS]
    by_chats = [asyncio.run(_load(ground, 16, chats)) for chats in CHATS]
    for clients, seen in zip(CLIENTS, by_clients, strict=True):
        yield from _told(f"growth, {clients} clients", seen)
    for chats, seen in zip(CHATS, by_chats, strict=True):
        yield from _told(f"growth, 16 clients on {chats} chats", seen)
    _draw("clients", "Clients at once, each on one of 16 chats", CLIENTS, by_clients)
    _draw("chats", "Chats that 16 clients share", CHATS, by_chats)


def _told(name: str, seen: Seen) -> Iterator[Row]:
    yield plain(f"{name}, rate", "1/s", [seen.rate])
    yield plain(f"{name}, p50", "ms", [seen.percentile(50)])
    yield plain(f"{name}, p99", "ms", [seen.percentile(99)])


class Tenant:
    """An application and its chats, by HTTP."""

    def __init__(self, ground: Ground, client: httpx.AsyncClient) -> None:
        self._base = ground.content["base_url"]
        self._admin = ground.content["admin_key"]
        self._client = client

    async def begin(self, chats: int) -> None:
        made = await self._post("/applications", {"name": "growth"}, self._admin)
        self._path, self._key = f"/applications/{made['token']}/chats", made["secret_key"]
        for _ in range(chats):
            await self._post(self._path, {}, self._key)

    async def message(self, chat: int) -> float:
        """Seconds that it took."""
        began = time.perf_counter()
        await self._post(f"{self._path}/{chat}/messages", ONE, self._key)
        return time.perf_counter() - began

    async def _post(self, path: str, body: dict[str, str], key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {key}"}
        answer = await self._client.post(self._base + path, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        made: dict[str, str] = answer.json()
        return made


async def _load(ground: Ground, clients: int, chats: int) -> Seen:
    async with _client() as http:
        tenant = Tenant(ground, http)
        await tenant.begin(chats)
        await asyncio.gather(*(tenant.message(1 + n % chats) for n in range(clients)))
        took: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(
            *(_repeat(tenant, 1 + n % chats, began + SECONDS, took) for n in range(clients))
        )
        return Seen(took, time.perf_counter() - began)


async def _repeat(tenant: Tenant, chat: int, until: float, took: list[float]) -> None:
    while time.perf_counter() < until:
        took.append(await tenant.message(chat))


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None))


def _draw(name: str, title: str, sizes: Sequence[int], seen: Sequence[Seen]) -> None:
    p50, p99 = ([one.percentile(which) for one in seen] for which in (50, 99))
    chart = drawing(title, sizes, [one.rate for one in seen], p50, p99)
    chart.render_to_file(str(LATEST.parent / f"{name}.svg"))


def drawing(
    title: str,
    sizes: Sequence[int],
    rates: Sequence[float],
    p50: Sequence[float],
    p99: Sequence[float],
) -> pygal.Line:
    """Messages a second to the left, milliseconds to the right."""
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
