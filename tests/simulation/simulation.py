"""One run: the ports, the clients, and the steps of a plan, one after the other."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

import msgspec

from chalicelib.adapters.redis.sequencer import FIXED_HOLDER
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import ConflictError, OrdinalError, UnavailableError
from chalicelib.domain.times import rfc3339
from chalicelib.settings import QUEUES
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.ports import Clock, Queues, SearchIndex, Sequencer, Store
from chalicelib.usecases.read import list_changes
from tests.fakes.lua_scripts import LuaScripts
from tests.fakes.metrics import FakeMetrics
from tests.fakes.search_index import FakeSearchIndex
from tests.fakes.sequencer import InMemorySequencer
from tests.fakes.store import FakeStore
from tests.invariants.history import History
from tests.simulation.clients import Client, Keyring
from tests.simulation.plan import Step
from tests.simulation.ports import (
    AMBUSHES,
    CALLS,
    KEY_CALLS,
    LEASE_CALLS,
    MODES,
    PORTS,
    Faults,
    reached,
)
from tests.simulation.primaries import Primaries
from tests.simulation.processes import Processes, SimulatedClock
from tests.simulation.queues import SimulatedQueues, release_idle, repair, take_batch
from tests.simulation.requests import (
    TOKEN,
    ListChanges,
    Request,
    follow,
    move_marker,
    read_one,
    read_page,
    send_to_inbox,
)

_START_MS = 1_790_000_000_000
_MOST_SLICES = 20_000
_CLIENTS = 4
_TRIES = 3
_LONGER_THAN_A_NONCE_MS = 6_000
_BETWEEN_KEYS_SECONDS = 2
_SLOW_READ_MS = 60
_SLOW_EDIT_MS = 150
# After this time the purge has removed deleted data from the index for the last time.
_LATE_SECONDS = 20 * 60
# Failures in a row. With more, a run would hardly do anything else.
_MOST_FAILURES = 4
USERS = ("ann", "bob")


def ignoring_errors(work: Callable[[], None]) -> Callable[[], None]:
    """The work of the admin, who gives up at an error response."""

    def attempt() -> None:
        with suppress(OrdinalError):
            work()

    return attempt


@cache
def real_scripts() -> LuaScripts:
    return LuaScripts()


class Components(msgspec.Struct, frozen=True):
    """The components of a run. A planted defect replaces one of them."""

    scripts: Callable[[], LuaScripts] = real_scripts
    store: Callable[[], FakeStore] = FakeStore
    index: Callable[[], FakeSearchIndex] = FakeSearchIndex
    queues: Callable[[Clock], SimulatedQueues] = SimulatedQueues
    list_changes: ListChanges = list_changes


REAL = Components()


class SimulatedPorts:
    """The ports of all processes."""

    lease_window = 10

    def __init__(self, simulation: "Simulation", scripts: LuaScripts) -> None:
        faults, clock = simulation.faults, simulation.clock
        self._sequencer = sequencer = InMemorySequencer(
            clock, self.lease_window, find_server=simulation.redis.server, scripts=scripts
        )
        self.clock = clock
        self.sequencer: Sequencer = reached("sequencer", sequencer, faults)
        self.store: Store = reached("store", simulation.store, faults)
        self.queues: Queues = reached("queues", simulation.queues, faults)
        self.index: SearchIndex = reached("index", simulation.index, faults)
        self.metrics = FakeMetrics()

    def make_durable(self) -> None:
        """Do what the setting `redis_keeps_writes` does."""
        self._sequencer._fixed_holder = FIXED_HOLDER


class Simulation:
    """One run: its components, its clients and its history. `log` gets a line for each event."""

    def __init__(self, log: Callable[[str], None], components: Components) -> None:
        self.log = log
        self.processes = Processes(_START_MS, _MOST_SLICES)
        self.clock = SimulatedClock(self.processes)
        self.faults = Faults(self.processes)
        self.history = History()
        self.redis = Primaries(self.clock, self.processes, self.history)
        self.queues = components.queues(self.clock)
        self.index = components.index()
        self.store = components.store()
        self.list_changes = components.list_changes
        self.ports = SimulatedPorts(self, components.scripts())
        self.store.applications.create_application(TOKEN, "simulation", rfc3339(_START_MS))
        self._keyring = keyring = Keyring(self.history, self.processes)
        self.clients = [
            Client(n, self.ports, self.history, self.processes, log, keyring, self.tenant)
            for n in range(1, _CLIENTS + 1)
        ]
        self.is_to_be_deleted = False
        self._chance = random.Random(0)
        self._texts = 0

    def follow(self, steps: Sequence[Step]) -> None:
        """Do each step, and let the processes run after it."""
        for step in steps:
            self._chance = random.Random(step.salt)
            getattr(self, f"_{step.kind}")(step)
            self.processes.run(step.gap, self._chance)
            self.redis.take_snapshot()
            for client in self.clients:
                client.go_on()

    def tenant(self) -> Tenant:
        """The application with its newest key. It may be deleted."""
        application = self.store.applications.get_application(TOKEN)
        return Tenant(TOKEN, application.key_version if application else 1)

    def chats(self) -> list[int]:
        """The numbers of all acknowledged chats."""
        return [a.first for a in self.history.attempts if a.kind == "chat" and a.first is not None]

    def _once(self, what: str, work: Callable[[], None]) -> Callable[[], None]:
        """The work of a client that gives up when it gets an error response."""

        def attempt() -> None:
            try:
                work()
            except (UnavailableError, ConflictError) as error:
                self.history.record_refusal(f"{what} was refused: {error}")
            except OrdinalError:
                pass

        return attempt

    def _pass(self, ms: int) -> None:
        """Time passes. In a faultless run no process waits meanwhile: that would be a fault."""
        if self.history.is_faultless:
            self.processes.run_all(self._chance)
        self.processes.now += ms

    def _texts_for(self, count: int) -> tuple[str, ...]:
        self._texts += 1
        return tuple(f"t{self._texts}.{i}" for i in range(count))

    def _client(self, step: Step) -> Client:
        return self.clients[step.who % len(self.clients)]

    def _submit(self, step: Step, request: Request) -> None:
        self._client(step).submit(request, _TRIES)

    def _choose_chat(self, step: Step) -> int | None:
        """Any chat. Every other choice is the newest."""
        chats = self.chats()
        if not chats:
            return None
        return chats[-1] if step.which % 2 else chats[step.which // 2 % len(chats)]

    def _choose_message(self, step: Step, chat: int) -> int | None:
        """The number of any message of a chat. Every third choice is the newest."""
        last = self._last(chat)
        if not last:
            return None
        return last if step.which % 3 == 0 else 1 + step.which // 3 % last

    def _last(self, chat: int) -> int | None:
        """The highest acknowledged number of a chat's messages."""
        return max(
            (
                a.last
                for a in self.history.attempts
                if (a.kind, a.chat) == ("post", chat) and a.last
            ),
            default=None,
        )

    def _key(self, step: Step, text: str) -> str | None:
        return f"key-{text}" if step.which % 5 < 3 else None

    def _chat(self, step: Step) -> None:
        texts = self._texts_for(1)
        self._submit(step, Request("chat", texts=texts, key=self._key(step, texts[0])))

    def _post(self, step: Step) -> None:
        texts = self._texts_for(step.size)
        if chat := self._choose_chat(step):
            self._submit(step, Request("post", chat, texts=texts, key=self._key(step, texts[0])))

    def _crowd(self, step: Step) -> None:
        """All clients post to one chat at once, so that they meet on its counter. Some post again later."""
        if chat := self._choose_chat(step):
            for _ in range(min(step.size, 2)):
                for client in self.clients:
                    texts = self._texts_for(1)
                    client.submit(
                        Request("post", chat, texts=texts, key=self._key(step, *texts)), 1
                    )
                self._pass(step.which % 3 * _LONGER_THAN_A_NONCE_MS)

    def _edit(self, step: Step) -> None:
        texts, chat = self._texts_for(1), self._choose_chat(step)
        if chat and (number := self._choose_message(step, chat)):
            key = self._key(step, texts[0])
            self._submit(step, Request("edit", chat, number, texts, key))
            if step.size > 1:
                # Another client edits it at the same time.
                other = self.clients[(step.who + 1) % len(self.clients)]
                other.submit(Request("edit", chat, number, self._texts_for(1)), 1)

    def _delete(self, step: Step) -> None:
        key, chat = self._key(step, *self._texts_for(1)), self._choose_chat(step)
        if chat and (number := self._choose_message(step, chat)):
            self._submit(step, Request("delete", chat, number, key=key))

    def _edit_chat(self, step: Step) -> None:
        texts = self._texts_for(1)
        if chat := self._choose_chat(step):
            self._submit(step, Request("edit_chat", chat, texts=texts, key=self._key(step, *texts)))
            if step.size > 1:
                other = self.clients[(step.who + 1) % len(self.clients)]
                other.submit(Request("edit_chat", chat, texts=self._texts_for(1)), 1)

    def _delete_chat(self, step: Step) -> None:
        key = self._key(step, *self._texts_for(1))
        if chat := self._choose_chat(step):
            self._submit(step, Request("delete_chat", chat, key=key))

    def _read(self, step: Step) -> None:
        chat, client = self._choose_chat(step), self._client(step)
        if not chat or not (number := self._choose_message(step, chat)):
            return
        read = read_page if step.size > 1 else read_one
        self.processes.start(
            f"{client.name}'s read",
            client.number,
            self._once(
                "a read",
                lambda: read(self.ports, self.tenant(), self.history, client.name, chat, number),
            ),
        )

    def _slow_read(self, step: Step) -> None:
        """A client reads what comes after the last message. It reads MySQL a moment after Redis."""
        chat, client = self._choose_chat(step), self._client(step)
        if not chat:
            return
        after = self._last(chat) or 0
        self.faults.ambushes["store.list_messages"] = ("before", "pauses", _SLOW_READ_MS)
        self.processes.start(
            f"{client.name}'s slow read",
            client.number,
            self._once(
                "a slow read",
                lambda: read_page(
                    self.ports, self.tenant(), self.history, client.name, chat, after
                ),
            ),
        )

    def _slow_edit(self, step: Step) -> None:
        """Two clients edit the last message. A moment passes between a read of MySQL and the edit."""
        chat = self._choose_chat(step)
        if chat and (number := self._last(chat)):
            self.faults.ambushes["store.lease_epoch"] = ("before", "pauses", _SLOW_EDIT_MS)
            for who in (step.who, step.who + 1):
                client = self.clients[who % len(self.clients)]
                client.submit(Request("edit", chat, number, self._texts_for(1)), 1)

    def _follow(self, step: Step) -> None:
        chat, client = self._choose_chat(step), self._client(step)
        if chat:
            self.processes.start(
                f"{client.name}'s following",
                client.number,
                self._once(
                    "a change feed", lambda: self.follow_changes(client.name, chat, step.size)
                ),
            )

    def follow_changes(self, client: str, chat: int, pages: int) -> None:
        """Apply up to so many pages of the change feed to a client's copy of a chat."""
        follow(self.list_changes, self.ports, self.tenant(), self.history, client, chat, pages)

    def _mark_read(self, step: Step) -> None:
        chat, user = self._choose_chat(step), USERS[step.who % len(USERS)]
        if chat and (number := self._choose_message(step, chat)):
            self.log(f"{user} has read chat {chat} to {number}")
            self.processes.start(
                f"{user}'s marker",
                step.who,
                self._once(
                    "a read marker",
                    lambda: move_marker(
                        self.ports, self.tenant(), self.history, user, chat, number
                    ),
                ),
            )

    def _inbox(self, step: Step) -> None:
        """Send a record to the inbox. Every fourth record is a chat; some records are sent twice."""
        chat = None if step.which % 4 == 0 else self._choose_chat(step)
        (text,) = self._texts_for(1)
        times = 2 if step.size > 2 else 1
        self.log(f"a service sends {text} for chat {chat} to the inbox {times} times")
        send_to_inbox(self.queues, self.history, chat, text, times)

    def _rotate(self, step: Step) -> None:
        overlap, times = (0, 0, 60, 600)[step.which % 4], min(step.size, 2)
        self.log(f"the admin rotates the secret key, with an overlap of {overlap} s, {times} times")

        def replace() -> None:
            for _ in range(times):
                self._keyring.replace(self.ports, overlap)
                self.clock.wait(_BETWEEN_KEYS_SECONDS)

        self.processes.start("the admin", step.who, ignoring_errors(replace))

    def _delete_application(self, step: Step) -> None:
        self.log("the admin deletes the application")
        self.is_to_be_deleted = True
        self.processes.start("the admin", step.who, ignoring_errors(self.delete_application))

    def delete_application(self) -> None:
        """Request the deletion. Without a response it may be requested again. Raises `OrdinalError`."""
        delete_application(self.ports, TOKEN, None)

    def _work(self, step: Step) -> None:
        queue = QUEUES[step.which % len(QUEUES)]
        for _ in range(2 if step.size == 2 else 1):
            count, work = take_batch(self.ports, self.queues, queue, 10 * step.size, self._chance)
            if count:
                self.log(f"a worker takes {count} records of {queue}")
                self.processes.start(f"a worker of {queue}", step.who, work)

    def _minute(self, step: Step) -> None:
        self._pass(60_000)
        self.log("a minute passes, and the repair runs")
        self.processes.start("the repair", step.who, lambda: repair(self.ports))

    def _release(self, step: Step) -> None:
        seconds = (0, 2, 30)[step.which % 3]
        self.log(f"leases of counters that were idle for {seconds} s are released")
        self.processes.start(
            "the release", step.who, lambda: release_idle(self.ports, seconds * 1_000)
        )

    def _seconds(self, step: Step) -> None:
        self._pass(step.which % 20 * 1_000)
        self.log(f"{step.which % 20} seconds pass")

    def _late(self, step: Step) -> None:
        self._pass(_LATE_SECONDS * 1_000)
        self.log(f"{_LATE_SECONDS} seconds pass, and the repair runs")
        self.processes.start("the repair", step.who, lambda: repair(self.ports))

    def _kill(self, step: Step) -> None:
        if alive := self.processes.alive:
            process = alive[step.which % len(alive)]
            self.log(f"{process.name} is killed in {process.at}")
            self.processes.kill(process)

    def _pause(self, step: Step) -> None:
        if alive := self.processes.alive:
            process, seconds = alive[step.which % len(alive)], (1, 8, 45, 200)[step.who % 4]
            self.log(f"{process.name} is paused for {seconds} s in {process.at}")
            self.processes.pause(process, seconds * 1_000)

    def _fail(self, step: Step) -> None:
        port, mode = PORTS[step.which % len(PORTS)], MODES[step.who % len(MODES)]
        count = min(step.size, _MOST_FAILURES)
        self.log(f"the next {count} calls of {port} fail ({mode})")
        self.faults.next[port] = [mode] * count

    def _search_down(self, step: Step) -> None:
        seconds = (30, 2 * _LATE_SECONDS)[step.which % 2]
        self.log(f"the index is down for {seconds} s")
        self.faults.down_until["index"] = self.processes.now + seconds * 1_000

    def _ambush(self, step: Step) -> None:
        self._set_ambush(step, CALLS)

    def _ambush_lease(self, step: Step) -> None:
        self._set_ambush(step, LEASE_CALLS)

    def _ambush_keys(self, step: Step) -> None:
        self._set_ambush(step, KEY_CALLS)

    def _set_ambush(self, step: Step, calls: Sequence[str]) -> None:
        call = calls[step.which % len(calls)]
        ambush = AMBUSHES[step.who % len(AMBUSHES)]
        when, action, ms = ambush
        victims = {
            "fails": "",
            "kills": " its process",
            "pauses": f" its process for {ms // 1_000} s",
        }
        self.log(f"(the next {call} {action}{victims[action]} {when} it is done)")
        self.faults.ambushes[call] = ambush

    def _be_faultless(self, step: Step) -> None:
        self.log("nothing fails")
        self.history.is_faultless = True

    def _make_durable(self, step: Step) -> None:
        self.log("Redis is durable: it never loses an acknowledged write")
        self.redis.is_durable = True
        self.ports.make_durable()

    def _wipe(self, step: Step) -> None:
        self.log("Redis is wiped")
        self.redis.wipe()

    def _restart(self, step: Step) -> None:
        self.log("Redis restarts with its data")
        self.redis.restart()

    def _fail_over(self, step: Step) -> None:
        self.log("Redis fails over to a lagging replica")
        self.redis.fail_over(step.which)

    def _split(self, step: Step) -> None:
        if self.redis.split(step.which):
            self.log("Redis has two primaries, and one lags")

    def _heal(self, step: Step) -> None:
        if self.redis.heal(step.which):
            self.log(f"Redis has one primary again, the {('old', 'new')[step.which % 2]} one")
