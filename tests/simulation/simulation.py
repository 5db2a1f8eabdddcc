"""One run: a world, its clients, and the steps of a plan, one after the other."""

import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.times import rfc3339
from chalicelib.settings import QUEUES
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.ports import (
    Applications,
    Chats,
    Clock,
    Leases,
    Messages,
    Persistence,
    Purge,
    Queues,
    ReadMarkers,
    SearchIndex,
    Sequencer,
    Store,
)
from chalicelib.usecases.read import list_changes
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.metrics import FakeMetrics
from tests.fakes.search_index import FakeSearchIndex
from tests.fakes.sequencer import InMemorySequencer
from tests.fakes.store import FakeStore
from tests.promises.history import History
from tests.simulation.clients import Client
from tests.simulation.keyring import Keyring
from tests.simulation.plan import Step
from tests.simulation.ports import Ambush, Faults, Mode, reached
from tests.simulation.primaries import Primaries
from tests.simulation.processes import Processes, SimulatedClock
from tests.simulation.queues import SimulatedQueues
from tests.simulation.requests import (
    TOKEN,
    ListChanges,
    Request,
    follow,
    mark_as_read,
    put_on_the_inbox,
    read_one,
    read_page,
)
from tests.simulation.workers import close_quiet, repair, take_batch

_START_MS = 1_790_000_000_000
_MOST_SLICES = 20_000
_CLIENTS = 4
_TRIES = 3
_LONGER_THAN_A_NONCE_MS = 6_000
_BETWEEN_KEYS_SECONDS = 2
# By then what was deleted has left the index for the last time.
_LATE_SECONDS = 20 * 60
# In a row: more, and hardly anything else would happen.
_MOST_FAILURES = 4
USERS = ("ann", "bob")
_PARTS = ("queues", "queues", "store", "sequencer", "index")
_MODES: tuple[Mode, ...] = ("before", "after", "half")
# Who follows has nothing half done: a kill or a failure there is that of any step.
_NO_TRAP = ("ping", "list_changes")
_STORE_ROLES = [Applications, Chats, Messages, ReadMarkers, Leases, Persistence, Purge]
# Every call of these parts; most are rare, and the next failing call of a part is seldom one of them.
_CALLS = [
    f"{name}.{call}"
    for name, parts in (("sequencer", [Sequencer]), ("store", _STORE_ROLES), ("queues", [Queues]))
    for part in parts
    for call in vars(part)
    if not call.startswith("_")
    and not re.search("(create|list|rename|delete|forget|block)_application|response", call)
    and call not in _NO_TRAP
]
_LEASE_CALLS = [call for call in _CALLS if re.search("leas|nonce|is_acquiring", call)]
_KEY_CALLS = [call for call in _CALLS if re.search("key|application", call)]
_AMBUSHES: tuple[Ambush, ...] = (
    ("before", "fails", 0),
    ("after", "fails", 0),
    ("before", "kills", 0),
    ("after", "kills", 0),
    ("before", "pauses", 8_000),
    ("after", "pauses", 8_000),
    ("before", "pauses", 200_000),
    ("after", "pauses", 200_000),
)


def _quietly(work: Callable[[], None]) -> Callable[[], None]:
    """A reader that is told an error tries again some other time."""

    def attempt() -> None:
        with suppress(OrdinalError):
            work()

    return attempt


@cache
def real_scripts() -> LuaScripts:
    return LuaScripts()


class Parts(msgspec.Struct, frozen=True):
    """What a run is made of; a planted defect takes the place of one of them."""

    scripts: Callable[[], LuaScripts] = real_scripts
    store: Callable[[], FakeStore] = FakeStore
    index: Callable[[], FakeSearchIndex] = FakeSearchIndex
    queues: Callable[[Clock], SimulatedQueues] = SimulatedQueues
    list_changes: ListChanges = list_changes


REAL = Parts()


class SimulatedWorld:
    """The world of all processes."""

    lease_window = 10

    def __init__(self, simulation: "Simulation", scripts: LuaScripts) -> None:
        faults, clock = simulation.faults, simulation.clock
        self._ledger = sequencer = InMemorySequencer(
            clock, self.lease_window, find_server=simulation.redis.server, scripts=scripts
        )
        self.clock = clock
        self.sequencer: Sequencer = reached("sequencer", sequencer, faults)
        self.store: Store = reached("store", simulation.store, faults)
        self.queues: Queues = reached("queues", simulation.queues, faults)
        self.index: SearchIndex = reached("index", simulation.index, faults)
        self.metrics = FakeMetrics()

    def keep_writes(self) -> None:
        """As `redis_keeps_writes` in the settings."""
        self._ledger._fixed_holder = "the-store-keeps-writes"


class Simulation:
    """Everything of one run. `say` is told what happens, in words."""

    def __init__(self, say: Callable[[str], None], parts: Parts) -> None:
        self.say = say
        self.processes = Processes(_START_MS, _MOST_SLICES)
        self.clock = SimulatedClock(self.processes)
        self.faults = Faults(self.processes)
        self.history = History()
        self.redis = Primaries(self.clock, self.processes, self.history)
        self.queues = parts.queues(self.clock)
        self.index = parts.index()
        self.store = parts.store()
        self.list_changes = parts.list_changes
        self.ports = SimulatedWorld(self, parts.scripts())
        self.store.applications.create_application(TOKEN, "simulation", rfc3339(_START_MS))
        self._keyring = keyring = Keyring(self.history, self.processes)
        self.clients = [
            Client(n, self.ports, self.history, self.processes, say, keyring, self.tenant)
            for n in range(1, _CLIENTS + 1)
        ]
        self.is_to_be_deleted = False
        self._chance = random.Random(0)
        self._texts = 0

    def follow(self, steps: Sequence[Step]) -> None:
        """Do each step, and let the processes run in between."""
        for step in steps:
            self._chance = random.Random(step.salt)
            getattr(self, f"_{step.kind}")(step)
            self.processes.run(step.gap, self._chance)
            self.redis.keep()
            for client in self.clients:
                client.go_on()

    def tenant(self) -> Tenant:
        """The application with its newest key, also where it is deleted."""
        application = self.store.applications.get_application(TOKEN)
        return Tenant(TOKEN, application.key_version if application else 1)

    def chats(self) -> list[int]:
        """Chats that clients were told of."""
        return [a.first for a in self.history.acts if a.kind == "chat" and a.first is not None]

    def _texts_for(self, count: int) -> tuple[str, ...]:
        self._texts += 1
        return tuple(f"t{self._texts}.{i}" for i in range(count))

    def _client(self, step: Step) -> Client:
        return self.clients[step.who % len(self.clients)]

    def _ask(self, step: Step, request: Request) -> None:
        self._client(step).ask(request, _TRIES)

    def _a_chat(self, step: Step) -> int | None:
        """Any chat; every other time the newest."""
        chats = self.chats()
        if not chats:
            return None
        return chats[-1] if step.which % 2 else chats[step.which // 2 % len(chats)]

    def _a_message(self, step: Step, chat: int) -> int | None:
        """Any message of a chat; every third time the newest."""
        last = [a.last for a in self.history.acts if (a.kind, a.chat) == ("post", chat) and a.last]
        if not last:
            return None
        return max(last) if step.which % 3 == 0 else 1 + step.which // 3 % max(last)

    def _key(self, step: Step, text: str) -> str | None:
        return f"key-{text}" if step.which % 5 < 3 else None

    def _chat(self, step: Step) -> None:
        texts = self._texts_for(1)
        self._ask(step, Request("chat", texts=texts, key=self._key(step, texts[0])))

    def _post(self, step: Step) -> None:
        texts = self._texts_for(step.size)
        if chat := self._a_chat(step):
            self._ask(step, Request("post", chat, texts=texts, key=self._key(step, texts[0])))

    def _crowd(self, step: Step) -> None:
        """All post to one chat at once, so that they meet on its counter, and some once more later."""
        if chat := self._a_chat(step):
            for _ in range(min(step.size, 2)):
                for client in self.clients:
                    texts = self._texts_for(1)
                    client.ask(Request("post", chat, texts=texts, key=self._key(step, *texts)), 1)
                self.processes.now += step.which % 3 * _LONGER_THAN_A_NONCE_MS

    def _edit(self, step: Step) -> None:
        texts, chat = self._texts_for(1), self._a_chat(step)
        if chat and (number := self._a_message(step, chat)):
            key = self._key(step, texts[0])
            self._ask(step, Request("edit", chat, number, texts, key))
            if step.size > 1:
                # Somebody else edits it at the same time.
                other = self.clients[(step.who + 1) % len(self.clients)]
                other.ask(Request("edit", chat, number, self._texts_for(1)), 1)

    def _delete(self, step: Step) -> None:
        key, chat = self._key(step, *self._texts_for(1)), self._a_chat(step)
        if chat and (number := self._a_message(step, chat)):
            self._ask(step, Request("delete", chat, number, key=key))

    def _edit_chat(self, step: Step) -> None:
        texts = self._texts_for(1)
        if chat := self._a_chat(step):
            self._ask(step, Request("edit_chat", chat, texts=texts, key=self._key(step, *texts)))
            if step.size > 1:
                other = self.clients[(step.who + 1) % len(self.clients)]
                other.ask(Request("edit_chat", chat, texts=self._texts_for(1)), 1)

    def _delete_chat(self, step: Step) -> None:
        key = self._key(step, *self._texts_for(1))
        if chat := self._a_chat(step):
            self._ask(step, Request("delete_chat", chat, key=key))

    def _read(self, step: Step) -> None:
        chat, client = self._a_chat(step), self._client(step)
        if not chat or not (number := self._a_message(step, chat)):
            return
        read = read_page if step.size > 1 else read_one
        self.processes.start(
            f"{client.name}'s read",
            client.number,
            _quietly(
                lambda: read(self.ports, self.tenant(), self.history, client.name, chat, number)
            ),
        )

    def _follow(self, step: Step) -> None:
        chat, client = self._a_chat(step), self._client(step)
        if chat:
            self.processes.start(
                f"{client.name}'s following",
                client.number,
                _quietly(lambda: self.follow_changes(client.name, chat, step.size)),
            )

    def follow_changes(self, client: str, chat: int, pages: int) -> None:
        """Bring a client's copy of a chat up to date, or nearer to that."""
        follow(self.list_changes, self.ports, self.tenant(), self.history, client, chat, pages)

    def _mark(self, step: Step) -> None:
        chat, user = self._a_chat(step), USERS[step.who % len(USERS)]
        if chat and (number := self._a_message(step, chat)):
            self.say(f"{user} has read chat {chat} to {number}")
            self.processes.start(
                f"{user}'s marker",
                step.who,
                _quietly(
                    lambda: mark_as_read(
                        self.ports, self.tenant(), self.history, user, chat, number
                    )
                ),
            )

    def _inbox(self, step: Step) -> None:
        """Every fourth time a chat; now and then the service is not sure, and sends it twice."""
        chat = None if step.which % 4 == 0 else self._a_chat(step)
        (text,) = self._texts_for(1)
        times = 2 if step.size > 2 else 1
        self.say(f"a service puts {text} for chat {chat} on the inbox {times} times")
        put_on_the_inbox(self.queues, self.history, chat, text, times)

    def _rotate(self, step: Step) -> None:
        overlap, times = (0, 0, 60, 600)[step.which % 4], min(step.size, 2)
        self.say(
            f"the admin replaces the secret key, with an overlap of {overlap} s, {times} times"
        )

        def replace() -> None:
            for _ in range(times):
                self._keyring.replace(self.ports, overlap)
                self.clock.wait(_BETWEEN_KEYS_SECONDS)

        self.processes.start("the admin", step.who, _quietly(replace))

    def _delete_application(self, step: Step) -> None:
        self.say("the admin deletes the application")
        self.is_to_be_deleted = True
        self.processes.start("the admin", step.who, _quietly(self.delete_application))

    def delete_application(self) -> None:
        """Ask for it once, as a client that has no answer asks again. Raises `OrdinalError`."""
        delete_application(self.ports, TOKEN)

    def _work(self, step: Step) -> None:
        queue = QUEUES[step.which % len(QUEUES)]
        for _ in range(2 if step.size == 2 else 1):
            count, work = take_batch(self.ports, self.queues, queue, 10 * step.size, self._chance)
            if count:
                self.say(f"a worker takes {count} records of {queue}")
                self.processes.start(f"a worker of {queue}", step.who, work)

    def _minute(self, step: Step) -> None:
        self.processes.now += 60_000
        self.say("a minute passes, the repair runs")
        self.processes.start("the repair", step.who, lambda: repair(self.ports))

    def _close(self, step: Step) -> None:
        seconds = (0, 2, 30)[step.which % 3]
        self.say(f"the leases of what was quiet for {seconds} s are closed")
        self.processes.start(
            "the closer", step.who, lambda: close_quiet(self.ports, seconds * 1_000)
        )

    def _seconds(self, step: Step) -> None:
        self.processes.now += step.which % 20 * 1_000
        self.say(f"{step.which % 20} seconds pass")

    def _late(self, step: Step) -> None:
        self.processes.now += _LATE_SECONDS * 1_000
        self.say(f"{_LATE_SECONDS} seconds pass, the repair runs")
        self.processes.start("the repair", step.who, lambda: repair(self.ports))

    def _kill(self, step: Step) -> None:
        if alive := self.processes.alive:
            process = alive[step.which % len(alive)]
            self.say(f"{process.name} is killed in {process.at}")
            self.processes.kill(process)

    def _pause(self, step: Step) -> None:
        if alive := self.processes.alive:
            process, seconds = alive[step.which % len(alive)], (1, 8, 45, 200)[step.who % 4]
            self.say(f"{process.name} is paused for {seconds} s in {process.at}")
            self.processes.pause(process, seconds * 1_000)

    def _fail(self, step: Step) -> None:
        part, mode = _PARTS[step.which % len(_PARTS)], _MODES[step.who % len(_MODES)]
        count = min(step.size, _MOST_FAILURES)
        self.say(f"the next {count} calls of {part} fail ({mode})")
        self.faults.next[part] = [mode] * count

    def _search_away(self, step: Step) -> None:
        seconds = (30, 2 * _LATE_SECONDS)[step.which % 2]
        self.say(f"the index is away for {seconds} s")
        self.faults.away_until["index"] = self.processes.now + seconds * 1_000

    def _ambush(self, step: Step) -> None:
        self._lie_in_wait(step, _CALLS)

    def _ambush_lease(self, step: Step) -> None:
        self._lie_in_wait(step, _LEASE_CALLS)

    def _ambush_keys(self, step: Step) -> None:
        self._lie_in_wait(step, _KEY_CALLS)

    def _lie_in_wait(self, step: Step, calls: Sequence[str]) -> None:
        label = calls[step.which % len(calls)]
        ambush = _AMBUSHES[step.who % len(_AMBUSHES)]
        when, what, ms = ambush
        whom = {"fails": "", "kills": " its process", "pauses": f" its process for {ms // 1_000} s"}
        self.say(f"(the next {label} {what}{whom[what]} {when} it is done)")
        self.faults.ambushes[label] = ambush

    def _keep_writes(self, step: Step) -> None:
        self.say("the store of Redis keeps every write")
        self.redis.keeps_writes = True
        self.ports.keep_writes()

    def _wipe(self, step: Step) -> None:
        self.say("Redis is wiped")
        self.redis.wipe()

    def _restart(self, step: Step) -> None:
        self.say("Redis is started anew with its data")
        self.redis.restart()

    def _fail_over(self, step: Step) -> None:
        self.say("Redis fails over to a replica that lags")
        self.redis.fail_over(step.which)

    def _split(self, step: Step) -> None:
        if self.redis.split(step.which):
            self.say("Redis has two primaries, one of which lags")

    def _heal(self, step: Step) -> None:
        if self.redis.heal(step.which):
            self.say(f"Redis has one primary again, the {('old', 'new')[step.which % 2]} one")
