"""The load: clients over HTTP, the owner of the application, and a service that uses the inbox."""

import threading
from collections.abc import Callable

import msgspec

from tests.faults.client import Client
from tests.faults.service_account import InboxService, KeyOwner, SecretKeys
from tests.invariants.history import History

CLIENTS = 7


class Target(msgspec.Struct, frozen=True):
    """An application on the stack: its address, its credentials, and the way to its inbox."""

    base_url: str
    token: str
    secret_key: str
    admin_key: str
    send_to_inbox: Callable[[str], None]


class Load:
    """All clients, in threads, on some chats of one application. Leaving the context waits for them."""

    def __init__(self, target: Target, history: History) -> None:
        self.target, self.history = target, history
        self.base_url, self.token = target.base_url, target.token
        self.keys = SecretKeys(target.secret_key)
        self.chats: list[int] = []
        self.wrongly_refused: list[str] = []
        self.ending = threading.Event()
        jobs = [Client(self, i).run for i in range(CLIENTS)]
        jobs += [KeyOwner(self).run, InboxService(self).run]
        self._threads = [threading.Thread(target=job) for job in jobs]

    def create_chats(self, count: int) -> None:
        """Create the chats that the load uses. Call this before the load starts."""
        client = Client(self, CLIENTS)
        while len(self.chats) < count:
            title = f"chat {len(self.chats)} of {self.token}"
            number = client.create("chat", None, (title,), f"key of {title}")
            if number is not None:
                self.chats.append(number)
        client.close()

    def write_to_each_chat(self) -> None:
        """Post to each chat, so that the numbers skipped before are recorded."""
        client = Client(self, CLIENTS + 1)
        for chat in self.chats:
            text = client.new_text()
            client.create("post", chat, (text,), f"key of {text}")
        client.close()

    def follow_to_the_end(self) -> None:
        """Bring every copy of a chat up to date."""
        client = Client(self, CLIENTS + 2)
        for copy in list(self.history.copies.values()):
            while client.follow(copy):
                pass
        client.close()

    def end_after(self, seconds: float) -> None:
        """End the load after this time. Each client finishes its current request."""
        threading.Timer(seconds, self.ending.set).start()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()
