"""Reads what the stores hold of one application, past the proxies."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from tests.faults.ground import Ground
from tests.faults.load import Load
from tests.promises.stored import Stored, StoredChat, StoredMessage

_CHATS = """
SELECT c.id, c.number, c.revision, c.title, c.deleted_at, c.messages_count, c.idempotency_key
FROM chats c JOIN applications a ON a.id = c.application_id WHERE a.token = %s
"""
_MESSAGES = """
SELECT number, revision, body, deleted_at, idempotency_key FROM messages WHERE chat_id = %s
"""
_PAGE = 5_000
_COUNT = "SELECT chats_count FROM applications WHERE token = %s"


def read_stored(ground: Ground, load: Load) -> Stored:
    """All of it. What was skipped, and what readers are told, is what the API says."""
    stored, token, secret_key = Stored(), load.token, load.keys.newest
    for id_, number, revision, title, deleted, count, key in ground.database.sql(_CHATS, (token,)):
        messages = {
            n: StoredMessage(r, body, deleted_at is not None, key=key)
            for n, r, body, deleted_at, key in ground.database.sql(_MESSAGES, (id_,))
        }
        chat = StoredChat(revision, title, deleted is not None, count, messages, key=key)
        if not chat.deleted:
            chat.skipped = _skipped(ground, token, secret_key, number)
        stored.chats[token, number] = chat
    [(stored.chats_count[token],)] = ground.database.sql(_COUNT, (token,))
    stored.indexed = _indexed(ground, token)
    stored.pending, stored.due = _left_in_redis(ground, token)
    stored.queued = list(_queued(ground, dead=False))
    stored.dead = list(_queued(ground, dead=True))
    for user in {told.user for told in load.history.told}:
        for one in _told(ground, token, secret_key, f"/readers/{user}")["items"]:
            stored.readers[token, user, one["chat"]] = (one["number"], one["unread"])
    return stored


def _skipped(ground: Ground, token: str, secret_key: str, number: int) -> list[tuple[int, int]]:
    skipped = _told(ground, token, secret_key, f"/chats/{number}")["skipped"]
    return [(one["from"], one["to"]) for one in skipped]


def _told(ground: Ground, token: str, secret_key: str, path: str) -> Any:
    answer = httpx.get(
        f"{ground.base_url}/applications/{token}{path}",
        headers={"Authorization": f"Bearer {secret_key}"},
        timeout=30,
    )
    return answer.raise_for_status().json()


def _indexed(ground: Ground, token: str) -> dict[tuple[str, int, int], tuple[int, str]]:
    with httpx.Client(base_url=ground.content["opensearch"]["url"], timeout=30) as client:
        client.post("/messages/_refresh").raise_for_status()
        return {
            (token, s["chat"], s["number"]): (s["revision"], s.get("original", s["body"]))
            for s in _sources(client, token)
        }


def _sources(client: httpx.Client, token: str) -> Iterator[dict[str, Any]]:
    """The live documents of an application, page by page."""
    filters = [{"term": {"token": token}}, {"term": {"deleted": False}}]
    query: dict[str, Any] = {
        "size": _PAGE,
        "query": {"bool": {"filter": filters}},
        "sort": ["chat", "number"],
    }
    while True:
        answer = client.post("/messages/_search", json=query)
        hits = answer.raise_for_status().json()["hits"]["hits"]
        yield from (hit["_source"] for hit in hits)
        if len(hits) < _PAGE:
            return
        query["search_after"] = hits[-1]["sort"]


def _left_in_redis(ground: Ground, token: str) -> tuple[list[str], list[str]]:
    with contextlib.closing(ground.valkeys.client()) as client:
        counters = [str(name) for name in client.scan_iter(f"{{{token}}}:*:pending", count=1000)]
        pending = [f"{n} {entry!s}" for n in counters for entry in client.zrange(n, 0, -1)]
        return pending, [str(member) for member in client.zrange(f"{{{token}}}:due", 0, -1)]


def _queued(ground: Ground, *, dead: bool) -> Iterator[str]:
    for name, url in ground.queues.items():
        if name.endswith("-dead") != dead:
            continue
        attributes = ground.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        counts = attributes["Attributes"]
        kinds = ("", "NotVisible", "Delayed")
        count = sum(int(counts.get(f"ApproximateNumberOfMessages{kind}", 0)) for kind in kinds)
        yield from (name for _ in range(count))
