"""What a release leaves in Redis: a chat, messages, an edit and a deletion, all of them pending.

The incarnation has a fixed name, as for a Redis that never loses a write. So the keys can be loaded into
another server, and belong to its incarnation.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis
from msgspec.structs import replace

from chalicelib.adapters.redis.sequencer import FIXED_HOLDER
from chalicelib.domain.auth import Tenant
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Accepted, Counter, EditPrecondition, LeaseGrant, LeaseMissing
from chalicelib.domain.models import Chat, Lease, Message, Pending
from chalicelib.domain.paging import PageRequest
from chalicelib.usecases.ports import Sequencer
from tests.contract.releases.acts import LATER, NOW, TOKEN, WINDOW

FOLDER = Path(__file__).parent
CHAT = Chat(number=0, revision=0, title="Général ☕", created_at=NOW)
DAY_MS = 24 * 3600 * 1000


def draft(body: str) -> Message:
    return Message(number=0, revision=0, body=body, sender="ann", created_at=NOW)


def idempotency(key: str) -> IdempotencyKey:
    return IdempotencyKey(key, "f" * 64)


def accept(
    sequencer: Sequencer,
    counter: Counter,
    drafts: Any,
    idempotency_key: IdempotencyKey | None = None,
) -> Accepted:
    """Accept in a cached application. Installs a lease if there is none yet."""
    accepted = sequencer.accept(Tenant(counter.token, 1), counter, drafts, idempotency_key)
    if isinstance(accepted, LeaseMissing):
        assert sequencer.install_lease(
            counter, accepted.nonce, LeaseGrant(0, Lease(FIXED_HOLDER, 1, WINDOW))
        )
        accepted = sequencer.accept(Tenant(counter.token, 1), counter, drafts, idempotency_key)
    assert isinstance(accepted, Accepted), accepted
    return accepted


def pending(sequencer: Sequencer, counter: Counter) -> dict[int, Pending]:
    pending_page = sequencer.read_pending(Tenant(counter.token, 1), counter, PageRequest(limit=100))
    return {entry.version.number: entry for entry in pending_page.pending}


def change(sequencer: Sequencer, counter: Counter, number: int, **fields: Any) -> Accepted:
    """Edit or delete a pending version."""
    pending_page = sequencer.read_pending(Tenant(counter.token, 1), counter, PageRequest(limit=100))
    version = pending(sequencer, counter)[number].version
    accepted = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(version, **fields),
        EditPrecondition(version.revision, pending_page.edits, 0),
    )
    assert isinstance(accepted, Accepted), accepted
    return accepted


def write(sequencer: Sequencer, cache_application: Callable[[], None]) -> None:
    """Write what a release writes."""
    cache_application()
    accept(sequencer, Counter(TOKEN), [CHAT], idempotency("chat"))
    messages = Counter(TOKEN, 1)
    accept(sequencer, messages, [draft("Grüße 👋"), draft("two")], idempotency("batch"))
    accept(sequencer, messages, [draft("three")])
    change(sequencer, messages, 1, body="edited", edited_at=LATER)
    change(sequencer, messages, 2, body="", deleted_at=LATER)


def taken(client: "redis.Redis") -> list[list[str]]:
    """The commands that create the application's keys again. Bytes are written as Latin-1."""
    commands: list[list[Any]] = []
    for key in sorted(client.scan_iter(match=f"{{{TOKEN}}}*")):
        kind = client.type(key)
        if kind == b"hash":
            fields = [part for pair in sorted(client.hgetall(key).items()) for part in pair]
            commands.append([b"HSET", key, *fields])
        elif kind == b"zset":
            members = client.zrange(key, 0, -1, withscores=True)
            scores = [part for member, score in members for part in (repr(score).encode(), member)]
            commands.append([b"ZADD", key, *scores])
        else:
            commands.append([b"SET", key, client.get(key)])
        if client.pttl(key) > 0:
            commands.append([b"PEXPIRE", key, str(DAY_MS).encode()])
    return [[part.decode("latin-1") for part in command] for command in commands]


def put(client: "redis.Redis", token: str, commands: Sequence[Sequence[str]]) -> None:
    """Create these keys for another application."""
    for name, key, *parts in commands:
        key = key.replace(f"{{{TOKEN}}}", f"{{{token}}}")
        client.execute_command(name, key, *(part.encode("latin-1") for part in parts))


def text(commands: list[list[str]]) -> str:
    return "".join(f"{json.dumps(command)}\n" for command in commands)


RECORDED = {
    path.stem.removesuffix(".keys"): [json.loads(line) for line in path.read_text().splitlines()]
    for path in sorted(FOLDER.glob("*.keys.ndjson"))
}
