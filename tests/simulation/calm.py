"""The end of a run: all is healed, all is delivered, and what the stores hold then."""

import random
from contextlib import suppress
from typing import Any

from chalicelib.adapters.redis import keys
from chalicelib.domain.errors import NotFoundError, UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.paging import PageRequest
from chalicelib.settings import QUEUES
from chalicelib.usecases.read_markers import list_read_markers
from tests.promises.stored import Stored, StoredChat, StoredMessage
from tests.simulation.requests import TOKEN, Request, edits_of, read_one
from tests.simulation.simulation import USERS, Simulation
from tests.simulation.workers import close_quiet, repair, take_batch

_ROUNDS = 30
_ROUND_MS = 200_000
# Records of what was deleted may be late by a quarter of an hour; then the last removal comes.
_LATE_MS = 16 * 60_000
_TRIES = 4
_MOST_PAGES = 10_000
_MOST_CHATS = 1_000
_BETWEEN_TRIES_SECONDS = 6
_CLIENT = "the last client"


def calm_down(simulation: Simulation) -> Stored:
    """Heal, deliver, write to each live chat once more, deliver; then look."""
    chance = random.Random(0)
    simulation.say("all is healed")
    simulation.faults.heal()
    simulation.redis.heal(0)
    simulation.processes.run_all(chance)
    if simulation.is_to_be_deleted:
        return _calm_down_without_it(simulation, chance)
    _deliver(simulation, chance)
    _edit_once_more(simulation)
    _deliver(simulation, chance)
    # A lease that an old primary still had would hide what was skipped until it is used up.
    close_quiet(simulation.ports, 0)
    _write_once_more(simulation)
    _deliver(simulation, chance)
    simulation.processes.now += _LATE_MS
    _deliver(simulation, chance)
    _follow_to_the_end(simulation)
    return read_pending(simulation)


def _calm_down_without_it(simulation: Simulation, chance: random.Random) -> Stored:
    """The application is deleted for certain; let all of it be removed."""
    with suppress(NotFoundError):
        simulation.delete_application()
    for _ in range(2):
        _deliver(simulation, chance)
        simulation.processes.now += _LATE_MS
    _deliver(simulation, chance)
    memory = simulation.redis.servers[0].memory
    # What expires leaves by itself; an older memory brings keys back that nobody knows of any more.
    left = [name.decode() for name in memory.values if name not in memory.expires]
    return Stored(
        chats_count=dict.fromkeys(simulation.store._applications, 0),
        indexed=_indexed(simulation),
        pending=[] if simulation.history.losses else left,
        queued=_queued(simulation),
        dead=_dead(simulation),
        is_gone=True,
    )


def _deliver(simulation: Simulation, chance: random.Random) -> None:
    """Run the workers and the repair until there is nothing left to do, at least once."""
    for _ in range(_ROUNDS):
        simulation.processes.now += _ROUND_MS
        repair(simulation.ports)
        for queue in QUEUES:
            count, work = take_batch(simulation.ports, simulation.queues, queue, 500, chance)
            if count:
                work()
        if not any(simulation.queues.records.values()) and not _left_in_redis(simulation)[0]:
            return


def _write_once_more(simulation: Simulation) -> None:
    """Post to each live chat, so that what was skipped is noted, and make one more chat."""
    for number in _live(simulation):
        text = f"last {number}"
        _ask(simulation, Request("post", number, texts=(text,), key=text))
    _ask(simulation, Request("chat", texts=("last",), key="last"))


def _edit_once_more(simulation: Simulation) -> None:
    """Read and then edit a message of each live chat, and the chat, under whatever lease is left."""
    for chat in _live(simulation):
        messages = _application(simulation).chats[chat].messages
        number = max((n for n, m in messages.items() if m.deleted_at is None), default=None)
        if number is not None:
            read_one(
                simulation.ports,
                simulation.tenant(),
                simulation.history,
                _CLIENT,
                chat,
                number,
            )
            _ask(simulation, Request("edit", chat, number, (f"last edit {chat}",)))
        _ask(simulation, Request("edit_chat", chat, texts=(f"last title {chat}",)))


def _follow_to_the_end(simulation: Simulation) -> None:
    """Those who follow a chat ask until there is no more, and somebody begins who never did."""
    chats = _live(simulation)
    old = [(copy.client, copy.chat) for copy in simulation.history.copies.values()]
    for client, chat in [*old, *((_CLIENT, chat) for chat in chats)]:
        if chat in chats:
            simulation.follow_changes(client, chat, _MOST_PAGES)


def _ask(simulation: Simulation, request: Request) -> None:
    """Ask again where 503 is the answer."""
    for _ in range(_TRIES):
        act = request.begin(simulation.history, _CLIENT)
        simulation.say(f"{_CLIENT} {request}")
        try:
            simulation.history.acknowledge(
                act, *request.send(simulation.ports, simulation.tenant())
            )
            return
        except UnavailableError:
            simulation.clock.wait(_BETWEEN_TRIES_SECONDS)


def _live(simulation: Simulation) -> list[int]:
    chats = _application(simulation).chats
    return [number for number, chat in chats.items() if chat.state.deleted_at is None]


def read_pending(simulation: Simulation) -> Stored:
    """What MySQL, the index, Redis and the queues hold."""
    token, application = TOKEN, _application(simulation)
    stored = Stored(
        chats={(token, n): _stored_chat(simulation, n) for n in application.chats},
        chats_count={token: application.shown().chats_count},
        indexed=_indexed(simulation),
        queued=_queued(simulation),
        dead=_dead(simulation),
        readers={
            (token, user, reading.chat): (reading.number, reading.unread)
            for user in USERS
            for reading in list_read_markers(
                simulation.ports, simulation.tenant(), user, PageRequest(limit=_MOST_CHATS)
            ).items
        },
    )
    stored.pending, stored.due = _left_in_redis(simulation)
    return stored


def _indexed(simulation: Simulation) -> dict[tuple[str, int, int], tuple[int, str]]:
    """The live documents."""
    return {
        place: (document.message.revision, document.message.body)
        for place, document in simulation.index.documents.items()
        if document.message.deleted_at is None
    }


def _queued(simulation: Simulation) -> list[str]:
    return [queue for queue, records in simulation.queues.records.items() for _ in records]


def _dead(simulation: Simulation) -> list[str]:
    """What the inbox has refused and should not have is missed where it should be."""
    return [queue for queue, _ in simulation.queues.dead if queue != "inbox"]


def _application(simulation: Simulation) -> Any:
    return simulation.store._applications[TOKEN]


def _stored_chat(simulation: Simulation, number: int) -> StoredChat:
    chat = _application(simulation).chats[number]
    row = simulation.store.chats.get_chat(TOKEN, number)
    assert row is not None
    return StoredChat(
        revision=row.chat.revision,
        title=row.chat.title,
        deleted=row.chat.deleted_at is not None,
        messages_count=row.messages_count,
        messages={
            n: StoredMessage(
                m.revision, m.body, m.deleted_at is not None, edits_of(m), m.idempotency_key
            )
            for n, m in chat.messages.items()
        },
        skipped=[(r.first, r.last) for r in simulation.store.leases.skipped_numbers(TOKEN, number)],
        edits=edits_of(row.chat),
        key=row.chat.idempotency_key,
    )


def _left_in_redis(simulation: Simulation) -> tuple[list[str], list[str]]:
    """Pending entries and due times."""
    server = simulation.redis.servers[0]
    if TOKEN not in simulation.store._applications:
        return [], []
    chats = [None, *_application(simulation).chats]
    pending = [keys.pending(Counter(TOKEN, chat)) for chat in chats]
    left = [
        f"{entry[:60]!r}"
        for name in pending
        for entry in server.execute("ZRANGE", name, 0, -1) or []
    ]
    due = server.execute("ZRANGE", keys.due(TOKEN), 0, -1)
    assert isinstance(due, list)
    return left, [member.decode() for member in due]
