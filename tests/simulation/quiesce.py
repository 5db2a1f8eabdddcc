"""The end of a run: heal everything, process every record, and read what the stores hold."""

import random
from contextlib import suppress
from typing import Any

from chalicelib.adapters.redis.codec import due_key, pending_key
from chalicelib.domain.errors import NotFoundError, UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import ChatNumber
from chalicelib.domain.paging import PageRequest
from chalicelib.settings import QUEUES
from chalicelib.usecases.read_markers import list_read_markers
from tests.invariants.stored import Stored, StoredChat, StoredMessage
from tests.simulation.queues import release_idle, repair, take_batch
from tests.simulation.requests import TOKEN, Request, edits_of, read_one
from tests.simulation.simulation import USERS, Simulation

_ROUNDS = 30
_ROUND_MS = 200_000
# Records of deleted data may be a quarter of an hour late. After that, the last purge runs.
_LATE_MS = 16 * 60_000
_TRIES = 4
_MOST_PAGES = 10_000
_MOST_CHATS = 1_000
_BETWEEN_TRIES_SECONDS = 6
_CLIENT = "the last client"


def quiesce(simulation: Simulation) -> Stored:
    """Heal, deliver, write to each live chat once more, deliver, and read the stores."""
    chance = random.Random(0)
    simulation.log("everything is healed")
    simulation.faults.heal()
    simulation.redis.heal(0)
    simulation.processes.run_all(chance)
    if simulation.is_to_be_deleted:
        return _quiesce_without_application(simulation, chance)
    _deliver(simulation, chance)
    _edit_once_more(simulation)
    _deliver(simulation, chance)
    # The lease of an old primary hides skipped numbers until it is used up or released.
    release_idle(simulation.ports, 0)
    _write_once_more(simulation)
    _deliver(simulation, chance)
    simulation.processes.now += _LATE_MS
    _deliver(simulation, chance)
    _follow_to_the_end(simulation)
    return read_stored(simulation)


def _quiesce_without_application(simulation: Simulation, chance: random.Random) -> Stored:
    """Delete the application, and let the purge remove all of it."""
    with suppress(NotFoundError):
        simulation.delete_application()
    for _ in range(2):
        _deliver(simulation, chance)
        simulation.processes.now += _LATE_MS
    _deliver(simulation, chance)
    dataset = simulation.redis.servers[0].dataset
    # Keys with an expiry leave by themselves. An older snapshot may bring forgotten keys back.
    remaining = [name.decode() for name in dataset.values if name not in dataset.expires]
    return Stored(
        chats_count=dict.fromkeys(simulation.store._applications, 0),
        indexed=_indexed(simulation),
        pending=[] if simulation.history.losses else remaining,
        queued=_queued(simulation),
        dead=_dead(simulation),
        is_gone=True,
    )


def _deliver(simulation: Simulation, chance: random.Random) -> None:
    """Run the workers and the repair until nothing is left to do, at least once."""
    for _ in range(_ROUNDS):
        simulation.processes.now += _ROUND_MS
        repair(simulation.ports)
        for queue in QUEUES:
            count, work = take_batch(simulation.ports, simulation.queues, queue, 500, chance)
            if count:
                work()
        if not any(simulation.queues.records.values()) and not _leftovers_in_redis(simulation)[0]:
            return


def _write_once_more(simulation: Simulation) -> None:
    """Post to each live chat, so that skipped numbers are recorded, and create one more chat."""
    for number in _live(simulation):
        text = f"last {number}"
        _send(simulation, Request("post", number, texts=(text,), key=text))
    _send(simulation, Request("chat", texts=("last",), key="last"))


def _edit_once_more(simulation: Simulation) -> None:
    """Read and then edit a message of each live chat, and rename the chat, under the leases that remain."""
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
            _send(simulation, Request("edit", chat, number, (f"last edit {chat}",)))
        _send(simulation, Request("edit_chat", chat, texts=(f"last title {chat}",)))


def _follow_to_the_end(simulation: Simulation) -> None:
    """Bring every copy up to date, and make a new copy of each live chat."""
    chats = _live(simulation)
    existing = [(copy.client, copy.chat) for copy in simulation.history.copies.values()]
    for client, chat in [*existing, *((_CLIENT, chat) for chat in chats)]:
        if chat in chats:
            simulation.follow_changes(client, chat, _MOST_PAGES)


def _send(simulation: Simulation, request: Request) -> None:
    """Send the request, and send it again after a 503."""
    for _ in range(_TRIES):
        attempt = request.start(simulation.history, _CLIENT)
        simulation.log(f"{_CLIENT} {request}")
        try:
            simulation.history.acknowledge(
                attempt, *request.send(simulation.ports, simulation.tenant())
            )
            return
        except UnavailableError:
            simulation.clock.wait(_BETWEEN_TRIES_SECONDS)


def _live(simulation: Simulation) -> list[int]:
    chats = _application(simulation).chats
    return [number for number, chat in chats.items() if chat.version.deleted_at is None]


def read_stored(simulation: Simulation) -> Stored:
    """The content of MySQL, the index, Redis and the queues."""
    token, application = TOKEN, _application(simulation)
    stored = Stored(
        chats={(token, n): _stored_chat(simulation, n) for n in application.chats},
        chats_count={token: application.shown().chats_count},
        indexed=_indexed(simulation),
        queued=_queued(simulation),
        dead=_dead(simulation),
        readers={
            (token, user, marker.chat): (marker.number, marker.unread)
            for user in USERS
            for marker in list_read_markers(
                simulation.ports, simulation.tenant(), user, PageRequest(limit=_MOST_CHATS)
            ).value.items
        },
    )
    stored.pending, stored.due = _leftovers_in_redis(simulation)
    return stored


def _indexed(simulation: Simulation) -> dict[tuple[str, int, int], tuple[int, str]]:
    """The live documents."""
    return {
        message_id: (document.message.revision, document.message.body)
        for message_id, document in simulation.index.documents.items()
        if document.message.deleted_at is None
    }


def _queued(simulation: Simulation) -> list[str]:
    return [queue for queue, records in simulation.queues.records.items() for _ in records]


def _dead(simulation: Simulation) -> list[str]:
    """Dead records, without the inbox: a record that it refused by mistake is missing in the store."""
    return [queue for queue, _ in simulation.queues.dead if queue != "inbox"]


def _application(simulation: Simulation) -> Any:
    return simulation.store._applications[TOKEN]


def _stored_chat(simulation: Simulation, number: int) -> StoredChat:
    chat = _application(simulation).chats[number]
    row = simulation.store.chats.get_chat(TOKEN, ChatNumber(number))
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
        skipped=[
            (r.first, r.last)
            for r in simulation.store.leases.skipped_numbers(TOKEN, ChatNumber(number))
        ],
        edits=edits_of(row.chat),
        key=row.chat.idempotency_key,
    )


def _leftovers_in_redis(simulation: Simulation) -> tuple[list[str], list[str]]:
    """Pending entries, and members with a due time."""
    server = simulation.redis.servers[0]
    if TOKEN not in simulation.store._applications:
        return [], []
    chats = [None, *_application(simulation).chats]
    pending_keys = [pending_key(Counter(TOKEN, chat)) for chat in chats]
    pending = [
        f"{entry[:60]!r}"
        for name in pending_keys
        for entry in server.execute("ZRANGE", name, 0, -1) or []
    ]
    due = server.execute("ZRANGE", due_key(TOKEN), 0, -1)
    assert isinstance(due, list)
    return pending, [member.decode() for member in due]
