"""What the noisy tenant does to its neighbour, one flood after another, and the neighbour's own requests.

A flood is prepared without a rate limit, before the clock starts. Then 16 connections send its requests.
"""

import json
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec

from chalicelib.domain.models import AppToken
from tests.bench.api import ALL_CHATS, MESSAGES, ONE_CHAT, event
from tests.bench.clients import Requests
from tests.bench.processes import Event, Product, Reply, send

# Three times the limit, or the limit itself, is sent in requests that take one from the bucket.
LIMIT, OVER_LIMIT = 100, 3.0
LONG_BODY_CHARS, BATCH = 20_000, 500
# As many of the longest messages as one request may hold.
LARGEST_BATCH = 149
PENDING_BATCHES, MESSAGES_OF_A_CHAT = 400, 20_000
CHATS_TO_DELETE, EDITS_MEASURED = 500, 200
PHRASES = 20
WAIT_SECONDS = 120.0
_HAN = [chr(0x4E00 + number) for number in range(1_500)]
_SEARCH, _CHANGES = MESSAGES + "/search", ONE_CHAT + "/changes"
_APPLICATION_SEARCH = "/applications/{token}/search"
_ONE_MESSAGE = MESSAGES + "/{number}"


class Tenant(msgspec.Struct, frozen=True):
    """An application, and the events of its requests."""

    token: AppToken
    key: str

    def event(
        self, method: str, route: str, body: Any = None, query: dict[str, str] | None = None, /,
        idempotency_key: str = "", **params: int,
    ) -> Event:  # fmt: skip
        numbers = {name: str(number) for name, number in params.items()}
        path = {"token": self.token, **numbers}
        return event(method, route, path, self.key, body, query, idempotency_key)


def new_tenant(product: Product, admin_key: str) -> Tenant:
    created = product.send_unlimited(
        event("POST", "/applications", None, admin_key, {"name": "bench"})
    )
    return Tenant(AppToken(created["token"]), created["secret_key"])


class Neighbour(Requests):
    """Reads, posts, searches, and follows the changes of one chat, in turn."""

    per_second, connections = 40.0, 4
    _KINDS = ("read", "post", "changes", "read") * 4 + ("read", "post", "changes", "search")

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._since = "0"

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        """Chat 1, with 200 messages that are persisted and indexed."""
        product.send_unlimited(tenant.event("POST", ALL_CHATS, {"title": "quiet"}))
        words = ["apple", "pear", "plum", "cherry"]
        batch = [{"body": f"{words[i % 4]} {i}", "sender": "bob"} for i in range(100)]
        for _ in range(2):
            post = tenant.event("POST", MESSAGES + "/batch", {"messages": batch}, chat=1)
            product.send_unlimited(post)
        search = tenant.event("GET", _SEARCH, None, {"q": "plum"}, chat=1)
        wait_until(lambda: product.send_unlimited(search)["total"] == 50)

    def next_event(self, number: int) -> Event:
        match self._KINDS[number % len(self._KINDS)]:
            case "read":
                return self._tenant.event("GET", MESSAGES, None, {"limit": "20"}, chat=1)
            case "post":
                body = {"body": f"apple {number}", "sender": "bob"}
                return self._tenant.event("POST", MESSAGES, body, chat=1)
            case "search":
                return self._tenant.event("GET", _SEARCH, None, {"q": "plum"}, chat=1)
        return self._tenant.event("GET", _CHANGES, None, {"since": self._since}, chat=1)

    def send(self, address: str, number: int) -> Reply:
        reply = super().send(address, number)
        body = json.loads(reply["body"])
        self._since = body.get("since", self._since)
        return reply


class Flood(Requests):
    """The requests of the noisy tenant. `paused` is the queue whose worker stands still meanwhile."""

    name: str
    per_second, connections = LIMIT * OVER_LIMIT, 16
    paused = ""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        product.send_unlimited(tenant.event("POST", ALL_CHATS, {}))

    def _post(self, chat: int, body: str, idempotency_key: str = "") -> Event:
        message = {"body": body, "sender": "eve"}
        return self._tenant.event(
            "POST", MESSAGES, message, chat=chat, idempotency_key=idempotency_key
        )


class Edits(Flood):
    """Edits of small metadata, each with a new Idempotency-Key, on a message of 20,000 emoji."""

    name = "edits of a long message"

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        super().prepare(product, tenant)
        body = {"body": "😀" * LONG_BODY_CHARS}
        product.send_unlimited(tenant.event("POST", MESSAGES, body, chat=1))

    def next_event(self, number: int) -> Event:
        change = {"metadata": {"i": number}}
        return self._tenant.event(
            "PATCH", _ONE_MESSAGE, change, idempotency_key=str(uuid4()), chat=1, number=1
        )


class MissingChats(Flood):
    """Posts to chats that do not exist: half of them to the same chat."""

    name = "posts to missing chats"

    def next_event(self, number: int) -> Event:
        return self._post(1_000_000 + (number if number % 2 else 0), "hello")


class Phrases(Flood):
    """Searches for twenty phrases in long texts without spaces."""

    name = "searches for twenty phrases"

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        super().prepare(product, tenant)
        chance = random.Random(1)
        for _ in range(24):
            body = {"body": "".join(chance.choices(_HAN, k=LONG_BODY_CHARS))}
            product.send_unlimited(tenant.event("POST", MESSAGES, body, chat=1))
        search = tenant.event("GET", _SEARCH, None, {"q": _HAN[0]}, chat=1)
        wait_until(lambda: product.send_unlimited(search)["total"] == 24)

    def next_event(self, number: int) -> Event:
        query = " ".join(f'"{han}"' for han in _HAN[number % 50 :][:PHRASES])
        return self._tenant.event("GET", _SEARCH, None, {"q": query, "limit": "100"}, chat=1)


class OneLetter(Flood):
    """Searches of the whole application for one letter that is in every message."""

    name = "searches for one letter"

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        super().prepare(product, tenant)
        batch = {"messages": [{"body": f"a b c d {i}"} for i in range(BATCH)]}
        for _ in range(20):
            product.send_unlimited(tenant.event("POST", MESSAGES + "/batch", batch, chat=1))
        search = tenant.event("GET", _APPLICATION_SEARCH, None, {"q": "a"})
        wait_until(lambda: product.send_unlimited(search)["total"] >= 20 * BATCH)

    def next_event(self, number: int) -> Event:
        query = {"q": "abcd"[number % 4], "limit": "100"}
        return self._tenant.event("GET", _APPLICATION_SEARCH, None, query)


class AllPending(Flood):
    """As much pending as an application may have, and posts that would add to it."""

    name = "as much pending as allowed"
    paused = "messages"

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        for chat in range(1, PENDING_BATCHES * BATCH // MESSAGES_OF_A_CHAT + 1):
            super().prepare(product, tenant)
            if not fill(product, tenant, chat, MESSAGES_OF_A_CHAT // BATCH):
                return

    def next_event(self, number: int) -> Event:
        return self._post(1 + number % 10, "hello")


class Deletions(Flood):
    """Deletion of 500 chats, and requests to delete them once more."""

    name = "deletion of 500 chats"

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        for chat in range(1, CHATS_TO_DELETE + 1):
            super().prepare(product, tenant)
            product.send_unlimited(tenant.event("POST", MESSAGES, {"body": "hello"}, chat=chat))

    def next_event(self, number: int) -> Event:
        return self._tenant.event("DELETE", ONE_CHAT, chat=1 + number % CHATS_TO_DELETE)


class WaitingRecords(Flood):
    """Records on the inbox for a chat that can take no more, so that they must wait."""

    name = "inbox records that wait"
    paused = "messages"

    def __init__(self, tenant: Tenant, queue_url: str) -> None:
        import boto3

        super().__init__(tenant)
        self._sqs, self._queue_url = boto3.client("sqs"), queue_url

    @classmethod
    def prepare(cls, product: Product, tenant: Tenant) -> None:
        super().prepare(product, tenant)
        fill(product, tenant, 1, MESSAGES_OF_A_CHAT // BATCH)

    def send(self, address: str, number: int) -> Reply:
        body = inbox_message(self._tenant, f"waits {number}")
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body)
        return {"statusCode": 200, "body": "{}"}


class LargeBatches(Flood):
    """Batches of the longest messages: as many as a request may hold, and 500, which is too much."""

    name = "batches of long messages"
    # Each batch takes from the bucket at least as many as it has messages.
    per_second = 2 * LIMIT * OVER_LIMIT / LARGEST_BATCH

    def __init__(self, tenant: Tenant) -> None:
        super().__init__(tenant)
        self._payloads = [self._payload(LARGEST_BATCH), self._payload(BATCH)]

    def send(self, address: str, number: int) -> Reply:
        return send(address, self._payloads[number % 2])

    def _payload(self, messages: int) -> bytes:
        body = {"messages": [{"body": "x" * LONG_BODY_CHARS}] * messages}
        return json.dumps(self._tenant.event("POST", MESSAGES + "/batch", body, chat=1)).encode()


class WithinLimit(Flood):
    """Posts at the rate that the limit allows, one by one."""

    name = "posts within the limit"
    per_second = float(LIMIT)

    def next_event(self, number: int) -> Event:
        return self._post(1, f"hello {number}", str(uuid4()))


class Posts(WithinLimit):
    """Posts at three times the limit, each with a new Idempotency-Key."""

    per_second = LIMIT * OVER_LIMIT


class FullPosts(Posts):
    """The same while nothing is persisted, so that everything accepted stays in Redis."""

    paused = "messages"


FLOODS: tuple[type[Flood], ...] = (
    Edits,
    MissingChats,
    Phrases,
    OneLetter,
    AllPending,
    Deletions,
    WaitingRecords,
    LargeBatches,
    WithinLimit,
)


def fill(product: Product, tenant: Tenant, chat: int, batches: int) -> bool:
    """Post batches of 500 messages to a chat. False if one was refused."""
    batch = {"messages": [{"body": f"hello {i}"} for i in range(BATCH)]}
    for _ in range(batches):
        post = tenant.event(
            "POST", MESSAGES + "/batch", batch, chat=chat, idempotency_key=str(uuid4())
        )
        if product.try_unlimited(post)["statusCode"] >= 300:
            return False
    return True


def inbox_message(tenant: Tenant, body: str) -> str:
    """A record for chat 1 of the tenant."""
    return json.dumps(
        {
            "v": 1,
            "type": "message.create",
            "token": tenant.token,
            "chat": 1,
            "body": body,
            "key": str(uuid4()),
        }
    )


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "this took too long"
        time.sleep(0.2)  # the pause between two checks
