"""Both clients behind one interface, so that each test covers both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any

import httpx
from ordinal_client import AsyncClient, Attempts, Client, OrdinalError

URL = "http://ordinal.test/stage"
TOKEN = "0123456789abcdef0123456789abcd"

Handler = Callable[[httpx.Request], httpx.Response]


class Side:
    """One of the two clients. `call` calls a method; `take` reads the first items of an iterator, or all."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        result = getattr(self.client, method)(*args, **kwargs)
        return asyncio.run(result) if asyncio.iscoroutine(result) else result

    def take(self, method: str, *args: Any, most: int | None = None, **kwargs: Any) -> list[Any]:
        items = getattr(self.client, method)(*args, **kwargs)
        if hasattr(items, "__aiter__"):
            return asyncio.run(_first(items, most))
        return list(islice(items, most))


async def _first(items: AsyncIterator[Any], most: int | None) -> list[Any]:
    first: list[Any] = []
    async for item in items:
        first.append(item)
        if len(first) == most:
            break
    return first


def sides(handler: Handler, key: str = "ok_1_x", **options: Any) -> dict[str, Side]:
    """Both clients. The same handler responds to both."""
    arguments = {"application": TOKEN, "transport": httpx.MockTransport(handler), **options}
    return {
        "sync": Side(Client(URL, key, **arguments)),
        "async": Side(AsyncClient(URL, key, **arguments)),
    }


class AtOnce:
    """A policy without pauses."""

    def __init__(self, attempts: int = 20) -> None:
        self._left = attempts

    def start(self) -> Attempts:
        return AtOnce(self._left)

    def pause_seconds(self, error: OrdinalError) -> float:
        self._left -= 1
        if not error.retryable or not self._left:
            raise error
        return 0.0
