"""The two clients."""

import time
from collections.abc import AsyncIterator, Iterator

import anyio

from ordinal_client.methods import Methods
from ordinal_client.models import Changes
from ordinal_client.transports import AsyncTransport, Transport


class Client(Methods, Transport):
    """Ordinal for one credential: an application's secret key, a user's token, or the admin key.

    `application` is the token of the application whose chats are meant. Safe for threads.
    """

    def follow_changes(
        self, chat: int, since: str = "0", *, pause_seconds: float | None = None
    ) -> Iterator[Changes]:
        """Changes behind `since` as they come; keep the `since` of each to go on from there later.

        Where all has been told, it asks again after a pause, without end; without a pause, it ends.
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
    """The same for async code: every method is awaited, every iterator is async."""

    async def follow_changes(
        self, chat: int, since: str = "0", *, pause_seconds: float | None = None
    ) -> AsyncIterator[Changes]:
        """Changes behind `since` as they come; keep the `since` of each to go on from there later.

        Where all has been told, it asks again after a pause, without end; without a pause, it ends.
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
