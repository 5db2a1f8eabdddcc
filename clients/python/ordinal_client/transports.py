"""The I/O of both clients: send a request, and repeat it within the limits of the retry policy."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import anyio
import httpx

from ordinal_client.errors import ConnectionFailedError, OrdinalError
from ordinal_client.models import Page
from ordinal_client.request import Request, next_page
from ordinal_client.retries import Policy, Retries

# API Gateway responds within 29 s, if only with a 504.
_TIMEOUT = httpx.Timeout(35.0, connect=5.0)


class Transport:
    """The connections of a `Client`. `Client` documents the arguments."""

    def __init__(
        self,
        base_url: str,
        key: str,
        application: str = "",
        retries: Policy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.application = application
        self._retries: Policy = retries or Retries()
        self._http = httpx.Client(**_httpx_options(base_url, key), transport=transport)

    def send[T](self, request: Request[T]) -> T:
        """Send a request until it succeeds or the retry policy ends it.

        :returns: the body of the response.
        :raises OrdinalError: the error of the last attempt.
        """
        attempts = self._retries.start()
        while True:
            try:
                return request.read(self._send_once(request))
            except OrdinalError as error:
                pause_seconds = attempts.pause_seconds(error)
            time.sleep(pause_seconds)

    def iterate[T](self, request: Request[Page[T]]) -> Iterator[T]:
        """Iterate over the items of a page and of all pages after it.

        The client requests each page when the iteration reaches it.

        :raises OrdinalError: a page could not be read; see `send`.
        """
        page_request: Request[Page[T]] | None = request
        while page_request:
            page = self.send(page_request)
            yield from page.items
            page_request = next_page(page_request, page)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _send_once(self, request: Request[Any]) -> httpx.Response:
        try:
            return self._http.send(self._http.build_request(**request.httpx_kwargs()))
        except httpx.RequestError as error:
            raise _connection_failed(error) from error


class AsyncTransport:
    """The connections of an `AsyncClient`, on asyncio or trio."""

    def __init__(
        self,
        base_url: str,
        key: str,
        application: str = "",
        retries: Policy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.application = application
        self._retries: Policy = retries or Retries()
        self._http = httpx.AsyncClient(**_httpx_options(base_url, key), transport=transport)

    async def send[T](self, request: Request[T]) -> T:
        """Send a request until it succeeds or the retry policy ends it.

        :returns: the body of the response.
        :raises OrdinalError: the error of the last attempt.
        """
        attempts = self._retries.start()
        while True:
            try:
                return request.read(await self._send_once(request))
            except OrdinalError as error:
                pause_seconds = attempts.pause_seconds(error)
            await anyio.sleep(pause_seconds)

    async def iterate[T](self, request: Request[Page[T]]) -> AsyncIterator[T]:
        """Iterate over the items of a page and of all pages after it.

        The client requests each page when the iteration reaches it.

        :raises OrdinalError: a page could not be read; see `send`.
        """
        page_request: Request[Page[T]] | None = request
        while page_request:
            page = await self.send(page_request)
            for item in page.items:
                yield item
            page_request = next_page(page_request, page)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _send_once(self, request: Request[Any]) -> httpx.Response:
        try:
            return await self._http.send(self._http.build_request(**request.httpx_kwargs()))
        except httpx.RequestError as error:
            raise _connection_failed(error) from error


def _httpx_options(base_url: str, key: str) -> dict[str, Any]:
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"the base URL {base_url!r} must begin with http:// or https://")
    headers = {"Authorization": f"Bearer {key}"}
    return {"base_url": base_url, "headers": headers, "timeout": _TIMEOUT}


def _connection_failed(error: httpx.RequestError) -> ConnectionFailedError:
    return ConnectionFailedError(f"{type(error).__name__}: {error}".removesuffix(": "))
