"""Both clients, asked in the same way, so that each test is made for both."""

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
    """One of the two clients. `ask` calls a method; `take` reads an iterator, whole or its first items."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        asked = getattr(self.client, method)(*args, **kwargs)
        return asyncio.run(asked) if asyncio.iscoroutine(asked) else asked

    def take(self, method: str, *args: Any, most: int | None = None, **kwargs: Any) -> list[Any]:
        asked = getattr(self.client, method)(*args, **kwargs)
        if hasattr(asked, "__aiter__"):
            return asyncio.run(_first(asked, most))
        return list(islice(asked, most))


async def _first(items: AsyncIterator[Any], most: int | None) -> list[Any]:
    found: list[Any] = []
    async for item in items:
        found.append(item)
        if len(found) == most:
            break
    return found


def sides(handler: Handler, key: str = "ok_1_x", **options: Any) -> dict[str, Side]:
    """Both, in front of the same handler."""
    given = {"application": TOKEN, "transport": httpx.MockTransport(handler), **options}
    return {
        "sync": Side(Client(URL, key, **given)),
        "async": Side(AsyncClient(URL, key, **given)),
    }


class AtOnce:
    """Tries again without a pause, so many times at most."""

    def __init__(self, attempts: int = 20) -> None:
        self._left = attempts

    def begin(self) -> Attempts:
        return AtOnce(self._left)

    def pause_seconds(self, error: OrdinalError) -> float:
        self._left -= 1
        if not error.retryable or not self._left:
            raise error
        return 0.0
