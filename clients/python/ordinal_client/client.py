"""The two clients: `Client` for sync code and `AsyncClient` for async code."""

import time
from collections.abc import AsyncIterator, Iterator

import anyio

from ordinal_client.methods import Methods
from ordinal_client.models import Changes
from ordinal_client.transports import AsyncTransport, Transport


class Client(Methods, Transport):
    """Ordinal for one credential. Threads can share a client.

    A method returns the body of the response. If the request fails, the client repeats it within the
    limits of `retries`, and then raises an `OrdinalError`. The docstring of a method names the errors that
    belong to the method. In addition, each method can raise `UnauthenticatedError`, `ForbiddenError`,
    `InvalidRequestError`, `RateLimitedError`, `UnavailableError`, `ConnectionFailedError` and
    `UnexpectedResponseError`.

    A method with an `idempotency_key` changes something. Without that argument, the client makes a key for
    each call and uses it for all attempts of the call. All other methods are safe to repeat.

    :param base_url: the address of the API, such as `https://api.example.com/v1`.
    :param key: a secret key of an application, a user token, or the admin key.
    :param application: the token of the application. Without it, only the methods for applications work.
    :param retries: the limits of repeated requests; `Retries()` by default.
    :param transport: an httpx transport, for tests and proxies.
    :raises ValueError: the base URL does not begin with `http://` or `https://`.
    """

    def follow_changes(
        self, chat: int, since: str = "0", *, pause_seconds: float | None = None
    ) -> Iterator[Changes]:
        """Iterate over the pages of `list_changes` that have changes.

        Store the `since` of each page after you have processed its items, to continue from there later.

        :param chat: the number of the chat.
        :param since: the `since` of an earlier page; the start of the chat by default.
        :param pause_seconds: how long to wait for more changes, again and again. By default the iteration
            ends after the last change.
        :returns: an iterator over the pages.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        while True:
            changes = self.list_changes(chat, since=since)
            if changes.items:
                yield changes
            since = changes.since
            if changes.next:
                continue
            if pause_seconds is None:
                return
            time.sleep(pause_seconds)


class AsyncClient(Methods, AsyncTransport):
    """`Client` for async code on asyncio or trio: await each method, and use `async for` to iterate.

    The parameters and errors are those of `Client`.
    """

    async def follow_changes(
        self, chat: int, since: str = "0", *, pause_seconds: float | None = None
    ) -> AsyncIterator[Changes]:
        """Iterate over the pages of `list_changes` that have changes.

        Store the `since` of each page after you have processed its items, to continue from there later.

        :param chat: the number of the chat.
        :param since: the `since` of an earlier page; the start of the chat by default.
        :param pause_seconds: how long to wait for more changes, again and again. By default the iteration
            ends after the last change.
        :returns: an async iterator over the pages.
        :raises NotFoundError: there is no such application or chat.
        :raises GoneError: the chat was deleted.
        """
        while True:
            changes = await self.list_changes(chat, since=since)
            if changes.items:
                yield changes
            since = changes.since
            if changes.next:
                continue
            if pause_seconds is None:
                return
            await anyio.sleep(pause_seconds)
