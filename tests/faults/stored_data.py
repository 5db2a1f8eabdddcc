"""Reads everything that the stores hold of one application. It bypasses the proxies."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from tests.faults.harness import Harness
from tests.faults.load import Load
from tests.invariants.stored import Stored, StoredChat, StoredMessage

_CHATS = """
SELECT c.id, c.number, c.revision, c.title, c.deleted_at, c.messages_count, c.idempotency_key
FROM chats c JOIN applications a ON a.id = c.application_id WHERE a.token = %s
"""
_MESSAGES = """
SELECT number, revision, body, deleted_at, idempotency_key FROM messages WHERE chat_id = %s
"""
_PAGE = 5_000
_COUNT = "SELECT chats_count FROM applications WHERE token = %s"


def read_stored(harness: Harness, load: Load) -> Stored:
    """Everything, from the stores. Skipped numbers and unread counts come from the API."""
    stored, token, secret_key = Stored(), load.token, load.keys.newest
    for id_, number, revision, title, deleted, count, key in harness.database.sql(_CHATS, (token,)):
        messages = {
            n: StoredMessage(r, body, deleted_at is not None, key=key)
            for n, r, body, deleted_at, key in harness.database.sql(_MESSAGES, (id_,))
        }
        chat = StoredChat(revision, title, deleted is not None, count, messages, key=key)
        if not chat.deleted:
            chat.skipped = _skipped(harness, token, secret_key, number)
        stored.chats[token, number] = chat
    [(stored.chats_count[token],)] = harness.database.sql(_COUNT, (token,))
    stored.indexed = _indexed(harness, token)
    stored.pending, stored.due = _leftovers_in_redis(harness, token)
    stored.queued = list(_queued(harness, dead=False))
    stored.dead = list(_queued(harness, dead=True))
    for user in {marker.user for marker in load.history.markers}:
        for marker in _get(harness, token, secret_key, f"/readers/{user}")["items"]:
            stored.readers[token, user, marker["chat"]] = (marker["number"], marker["unread"])
    return stored


def _skipped(harness: Harness, token: str, secret_key: str, number: int) -> list[tuple[int, int]]:
    chat = _get(harness, token, secret_key, f"/chats/{number}")
    return [(skipped["from"], skipped["to"]) for skipped in chat["skipped"]]


def _get(harness: Harness, token: str, secret_key: str, path: str) -> Any:
    response = httpx.get(
        f"{harness.base_url}/applications/{token}{path}",
        headers={"Authorization": f"Bearer {secret_key}"},
        timeout=30,
    )
    return response.raise_for_status().json()


def _indexed(harness: Harness, token: str) -> dict[tuple[str, int, int], tuple[int, str]]:
    with httpx.Client(base_url=harness.content["opensearch"]["url"], timeout=30) as client:
        client.post("/messages/_refresh").raise_for_status()
        return {
            (token, s["chat"], s["number"]): (s["revision"], s.get("original", s["body"]))
            for s in _sources(client, token)
        }


def _sources(client: httpx.Client, token: str) -> Iterator[dict[str, Any]]:
    """The live documents of an application, read in pages."""
    filters = [{"term": {"token": token}}, {"term": {"deleted": False}}]
    query: dict[str, Any] = {
        "size": _PAGE,
        "query": {"bool": {"filter": filters}},
        "sort": ["chat", "number"],
    }
    while True:
        response = client.post("/messages/_search", json=query)
        hits = response.raise_for_status().json()["hits"]["hits"]
        yield from (hit["_source"] for hit in hits)
        if len(hits) < _PAGE:
            return
        query["search_after"] = hits[-1]["sort"]


def _leftovers_in_redis(harness: Harness, token: str) -> tuple[list[str], list[str]]:
    with contextlib.closing(harness.valkeys.client()) as client:
        counters = [str(name) for name in client.scan_iter(f"{{{token}}}:*:pending", count=1000)]
        pending = [f"{n} {entry!s}" for n in counters for entry in client.zrange(n, 0, -1)]
        return pending, [str(member) for member in client.zrange(f"{{{token}}}:due", 0, -1)]


def _queued(harness: Harness, *, dead: bool) -> Iterator[str]:
    for name, url in harness.queues.items():
        if name.endswith("-dead-letters") != dead:
            continue
        attributes = harness.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        counts = attributes["Attributes"]
        kinds = ("", "NotVisible", "Delayed")
        count = sum(int(counts.get(f"ApproximateNumberOfMessages{kind}", 0)) for kind in kinds)
        yield from (name for _ in range(count))
