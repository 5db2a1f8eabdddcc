"""What a release leaves in Redis: a chat, messages, an edit and a deletion, all of them still pending.

The memory has a name of its own, as where the store keeps every write: so the keys can be put into another
server and are still its own.
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
    sequencer: Sequencer, counter: Counter, drafts: Any, of: IdempotencyKey | None = None
) -> Accepted:
    """Accept in an application that is known, with a lease where there is none yet."""
    answer = sequencer.accept(Tenant(counter.token, 1), counter, drafts, of)
    if isinstance(answer, LeaseMissing):
        assert sequencer.install_lease(
            counter, answer.nonce, LeaseGrant(0, Lease(FIXED_HOLDER, 1, WINDOW))
        )
        answer = sequencer.accept(Tenant(counter.token, 1), counter, drafts, of)
    assert isinstance(answer, Accepted), answer
    return answer


def pending(sequencer: Sequencer, counter: Counter) -> dict[int, Pending]:
    pending_page = sequencer.read_pending(Tenant(counter.token, 1), counter, PageRequest(limit=100))
    return {entry.version.number: entry for entry in pending_page.pending}


def change(sequencer: Sequencer, counter: Counter, number: int, **fields: Any) -> Accepted:
    """Edit or delete what is pending."""
    pending_page = sequencer.read_pending(Tenant(counter.token, 1), counter, PageRequest(limit=100))
    state = pending(sequencer, counter)[number].version
    answer = sequencer.edit(
        Tenant(counter.token, 1),
        counter,
        replace(state, **fields),
        EditPrecondition(state.revision, pending_page.edits, 0),
    )
    assert isinstance(answer, Accepted), answer
    return answer


def write(sequencer: Sequencer, introduce: Callable[[], None]) -> None:
    """What a release does."""
    introduce()
    accept(sequencer, Counter(TOKEN), [CHAT], idempotency("chat"))
    messages = Counter(TOKEN, 1)
    accept(sequencer, messages, [draft("Grüße 👋"), draft("two")], idempotency("batch"))
    accept(sequencer, messages, [draft("three")])
    change(sequencer, messages, 1, body="edited", edited_at=LATER)
    change(sequencer, messages, 2, body="", deleted_at=LATER)


def taken(client: "redis.Redis") -> list[list[str]]:
    """The commands that make the application's keys again. Bytes are written as Latin-1."""
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
    """Make these keys for another application."""
    for name, key, *parts in commands:
        key = key.replace(f"{{{TOKEN}}}", f"{{{token}}}")
        client.execute_command(name, key, *(part.encode("latin-1") for part in parts))


def text(commands: list[list[str]]) -> str:
    return "".join(f"{json.dumps(command)}\n" for command in commands)


RECORDED = {
    path.stem.removesuffix(".keys"): [json.loads(line) for line in path.read_text().splitlines()]
    for path in sorted(FOLDER.glob("*.keys.ndjson"))
}
