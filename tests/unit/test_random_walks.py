"""Random walks over the whole of the protocol: what was promised is held against what is stored.

The use cases run on the fakes, which the contract tests hold to the real parts. A seed decides
everything: what is done next, which records come, twice, late or out of order, which sends fail, when
Redis is wiped, or comes back as another memory with the data of now or of earlier.
"""

import random
from collections import defaultdict
from contextlib import suppress

import pytest
from msgspec.structs import replace

from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.numbering import Counter, Page
from chalicelib.domain.records import Chat, Message
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.accept_chat import accept_chat
from chalicelib.usecases.accept_edit import edit_message
from chalicelib.usecases.accept_messages import accept_messages
from chalicelib.usecases.list_messages import list_messages
from chalicelib.usecases.repair_pending import repair_pending
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
DRAFT = Message(number=0, revision=0, body="", created_at=NOW)
TENANT = Tenant("0123456789abcdef0123456789abcd", 1)
STEPS = 250
LOSSES = ("wipe", "restart", "restore")


class Walk:
    """One walk; `acknowledged` holds, by chat and number, the newest state that was answered 202."""

    def __init__(self, seed: int, losses: bool) -> None:
        self.random = random.Random(seed)
        self.world = FakeWorld()
        self.world.store.create_application(TENANT.token, "walk", NOW)
        self.losses = losses
        self.snapshot("")
        self.given: set[tuple[int | None, int]] = set()
        self.acknowledged: dict[int, dict[int, tuple[int, str]]] = defaultdict(dict)
        self.chats: list[int] = []

    def run(self) -> None:
        steps = ["chat", "post", "post", "post", "edit", "deliver", "deliver", "repair", "snapshot"]
        for i in range(STEPS):
            lost = self.losses and self.random.random() < 0.03
            step = self.random.choice(LOSSES if lost else steps)
            self.world.queues.away = self.random.random() < 0.1
            with suppress(OrdinalError):  # the client got an error, and no promise
                getattr(self, step)(f"body {i}")
        self.calm_down()

    def chat(self, body: str) -> None:
        number = accept_chat(self.world, TENANT, Chat(number=0, revision=0, created_at=NOW)).first
        self.note(None, number)
        self.chats.append(number)

    def post(self, body: str) -> None:
        chat = self.random.choice(self.chats or [1])
        count = self.random.choice([1, 1, 1, 4])
        draft = replace(DRAFT, body=body)
        accepted = accept_messages(self.world, TENANT, chat, [draft] * count)
        for i in range(count):
            self.note(chat, accepted.first + i)
            self.acknowledged[chat][accepted.first + i] = (accepted.revision + i, body)

    def edit(self, body: str) -> None:
        chat = self.random.choice(self.chats or [1])
        number = self.random.randint(1, 60)
        edited = edit_message(self.world, TENANT, chat, number, lambda m: replace(m, body=body))
        newest = self.acknowledged[chat].get(number, (0, ""))
        self.acknowledged[chat][number] = max(newest, (edited.revision, body))

    def deliver(self, body: str) -> None:
        """Some of what is queued, in any order; some of that stays, and comes again."""
        self.world.queues.away = False
        for queue in ("chats", "messages", "search"):
            records = self.world.queues.take(queue)
            self.random.shuffle(records)
            cut = self.random.randint(0, len(records))
            coming, later = records[:cut], records[cut:]
            self.world.queues.sent[queue] = coming
            held = {q: self.world.queues.take(q) for q in self.world.queues.sent if q != queue}
            self.world.persist()
            for name, kept in held.items():
                self.world.queues.sent[name] += kept
            again = [r for r in coming if self.random.random() < 0.2]
            self.world.queues.sent[queue] += later + again

    def repair(self, body: str) -> None:
        self.world.clock.wait(70)
        repair_pending(self.world)

    def snapshot(self, body: str) -> None:
        self.kept = self.world.ledger.server.memory.copy()

    def wipe(self, body: str) -> None:
        self.world.ledger.wipe()

    def restart(self, body: str) -> None:
        self.world.ledger.restart()

    def restore(self, body: str) -> None:
        self.world.ledger.server.memory = self.kept.copy()
        self.world.ledger.restart()

    def note(self, chat: int | None, number: int) -> None:
        assert (chat, number) not in self.given, f"{number} of {chat} was given twice"
        self.given.add((chat, number))

    def calm_down(self) -> None:
        """All is up, everything queued comes, and each chat is written to once more."""
        self.world.queues.away = False
        for i in range(10):
            self.world.persist()
            self.world.clock.wait(100_000)
            repair_pending(self.world)
            if i == 5:
                for chat in self.chats:
                    accept_messages(self.world, TENANT, chat, [replace(DRAFT, body="last")])
        assert not any(self.world.queues.sent.values())
        assert not self.world.queues.dead

    def check(self) -> None:
        for chat in self.chats:
            self.check_chat(chat)
        application = self.world.store.get_application(TENANT.token)
        assert application is not None
        assert application.chats_count >= len(self.chats)

    def check_chat(self, chat: int) -> None:
        rows = self.world.store.list_messages(TENANT.token, chat, Page(limit=9999, after=0), 9999)
        stored = {m.number: (m.revision, m.body) for m in rows}
        for number, (revision, body) in self.acknowledged[chat].items():
            # A newer state is one whose client was told 503: the repair has completed it.
            now = stored.get(number, (0, ""))
            assert now == (revision, body) or now[0] > revision, (chat, number)
        row = self.world.store.get_chat(TENANT.token, chat)
        assert row is not None
        assert row.messages_count == len(rows)
        missing = set(range(1, max(stored, default=0) + 1)) - set(stored)
        skipped = self.world.store.skipped(TENANT.token, chat)
        reported = {n for r in skipped for n in range(r.first, r.last + 1)}
        assert missing <= reported
        assert not reported & set(stored)
        assert self.losses or not reported
        listed = list_messages(self.world, TENANT, chat, Page(limit=9999, after=0))
        assert {m.number: (m.revision, m.body) for m in listed.items} == stored
        assert not self.world.ledger.take_overdue(Counter(TENANT.token, chat), range(1, 200))


@pytest.mark.parametrize("losses", [False, True])
@pytest.mark.parametrize("seed", range(150))
def test_a_walk_keeps_every_promise(seed: int, losses: bool) -> None:
    walk = Walk(seed, losses)
    walk.run()
    walk.check()
