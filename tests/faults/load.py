"""What puts the stack under load: clients over HTTP, the owner of the application, another service."""

import threading
from collections.abc import Callable

import msgspec

from tests.faults.client import Client
from tests.faults.owner import InboxService, KeyOwner
from tests.faults.secret_keys import SecretKeys
from tests.promises.history import History

CLIENTS = 7


class Place(msgspec.Struct, frozen=True):
    """An application on the stack: where it is, who opens it, and how the inbox is reached."""

    base_url: str
    token: str
    secret_key: str
    admin_key: str
    put_on_the_inbox: Callable[[str], None]


class Load:
    """Runs all of them against some chats of one application until it is left."""

    def __init__(self, place: Place, history: History) -> None:
        self.place, self.history = place, history
        self.base_url, self.token = place.base_url, place.token
        self.keys = SecretKeys(place.secret_key)
        self.chats: list[int] = []
        self.wrongly_refused: list[str] = []
        self.ending = threading.Event()
        doing = [Client(self, i).run for i in range(CLIENTS)]
        doing += [KeyOwner(self).run, InboxService(self).run]
        self._threads = [threading.Thread(target=one) for one in doing]

    def make_chats(self, count: int) -> None:
        """Chats to post to; the load starts after them."""
        client = Client(self, CLIENTS)
        while len(self.chats) < count:
            title = f"chat {len(self.chats)} of {self.token}"
            number = client.create("chat", None, (title,), f"key of {title}")
            if number is not None:
                self.chats.append(number)
        client.close()

    def write_to_each_chat(self) -> None:
        """One message to each chat, so that what was skipped before it is known."""
        client = Client(self, CLIENTS + 1)
        for chat in self.chats:
            text = client.text()
            client.create("post", chat, (text,), f"key of {text}")
        client.close()

    def follow_to_the_end(self) -> None:
        """Bring every copy of a chat up to date."""
        client = Client(self, CLIENTS + 2)
        for copy in list(self.history.copies.values()):
            while client.follow(copy):
                pass
        client.close()

    def ending_soon(self, seconds: float) -> None:
        """Let the clients go on for a little, then finish what they are doing."""
        threading.Timer(seconds, self.ending.set).start()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()
