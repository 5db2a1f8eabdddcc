"""What clients ask for, as the HTTP doors would do it, and what each answer says in the history."""

from collections.abc import Callable

import msgspec
from msgspec import json
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Changes, Since, parse_since
from chalicelib.domain.errors import GoneError, NotFoundError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.limits import MAX_NUMBER
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import current_message, list_messages
from chalicelib.usecases.read_markers import mark_read
from tests.promises.history import GONE, Act, History, Kind
from tests.simulation.queues import SimulatedQueues

TOKEN = "0123456789abcdef0123456789abcd"
_PAGE = 8
_CHANGES = 3

ListChanges = Callable[[Ports, Tenant, int, Since, int], Changes]

# First number, last number, revision.
Answer = tuple[int, int, int]


class Request(msgspec.Struct, frozen=True):
    """One operation; with a key it may be sent more than once."""

    kind: Kind
    chat: int | None = None
    number: int | None = None
    texts: tuple[str, ...] = ()
    key: str | None = None

    def begin(self, history: History, client: str) -> Act:
        return history.begin(
            client,
            self.kind,
            TOKEN,
            self.chat,
            number=self.number,
            texts=self.texts,
            key=self.key,
        )

    def send(self, ports: Ports, tenant: Tenant) -> Answer:
        """What was acknowledged. Raises `OrdinalError`."""
        return _SEND[self.kind](self, ports, tenant, rfc3339(ports.clock.now_ms()))

    def __str__(self) -> str:
        what = {
            "chat": "creates a chat",
            "post": f"posts {', '.join(self.texts)} to chat {self.chat}",
            "edit": f"edits message {self.number} of chat {self.chat} to {', '.join(self.texts)}",
            "delete": f"deletes message {self.number} of chat {self.chat}",
            "edit_chat": f"calls chat {self.chat} {', '.join(self.texts)}",
            "delete_chat": f"deletes chat {self.chat}",
        }[self.kind]
        return what + (f" with the key {self.key}" if self.key else "")


Send = Callable[[Request, Ports, Tenant, str], Answer]


def _mark(request: Request) -> IdempotencyKey | None:
    return IdempotencyKey(request.key, "fingerprint") if request.key else None


def _chat(request: Request, ports: Ports, tenant: Tenant, now: str) -> Answer:
    draft = Chat(
        number=0,
        revision=0,
        title=request.texts[0],
        created_at=now,
        idempotency_key=request.key,
    )
    accepted = create_chat(ports, tenant, draft, _mark(request))
    return accepted.first, accepted.last, accepted.revision


def _post(request: Request, ports: Ports, tenant: Tenant, now: str) -> Answer:
    drafts = [Message(number=0, revision=0, body=text, created_at=now) for text in request.texts]
    assert request.chat is not None
    accepted = create_messages(ports, tenant, request.chat, drafts, _mark(request))
    return accepted.first, accepted.last, accepted.revision


def _change_message(change: Callable[[Request, Message, str], Message]) -> Send:
    def send(request: Request, ports: Ports, tenant: Tenant, now: str) -> Answer:
        assert request.chat is not None
        assert request.number is not None
        state = edit_message(
            ports,
            tenant,
            request.chat,
            request.number,
            lambda m: change(request, m, now),
            None,
            _mark(request),
        ).state
        return state.number, state.number, state.revision

    return send


def _edited(request: Request, message: Message, now: str) -> Message:
    """The new state; it tells all the edits that led to it."""
    text, before = request.texts[0], edits_of(message)
    return replace(message, body=text, metadata={"edits": [*before, text]}, edited_at=now)


def _named(request: Request, chat: Chat, now: str) -> Chat:
    """The same of a chat."""
    text, before = request.texts[0], edits_of(chat)
    return replace(chat, title=text, metadata={"edits": [*before, text]}, edited_at=now)


def edits_of(state: Message | Chat) -> tuple[str, ...]:
    return tuple((state.metadata or {"edits": []})["edits"])


def _change_chat(change: Callable[[Request, Chat, str], Chat]) -> Send:
    def send(request: Request, ports: Ports, tenant: Tenant, now: str) -> Answer:
        assert request.chat is not None
        chat = edit_chat(
            ports, tenant, request.chat, lambda c: change(request, c, now), None, _mark(request)
        ).state.chat
        return chat.number, chat.number, chat.revision

    return send


_SEND: dict[Kind, Send] = {
    "chat": _chat,
    "post": _post,
    "edit": _change_message(_edited),
    "delete": _change_message(lambda r, m, now: replace(m, body="", deleted_at=now)),
    "edit_chat": _change_chat(_named),
    "delete_chat": _change_chat(lambda r, c, now: replace(c, deleted_at=now)),
}


def read_one(
    ports: Ports, tenant: Tenant, history: History, client: str, chat: int, number: int
) -> None:
    """Read a message by its number, and note what was seen."""
    began = history.now()
    revision: int | None
    try:
        revision = current_message(ports, tenant, chat, number).state.revision
    except GoneError:
        revision = GONE
    except NotFoundError:
        revision = None
    history.read(began, client, TOKEN, chat, number, revision)


def read_page(
    ports: Ports, tenant: Tenant, history: History, client: str, chat: int, after: int
) -> None:
    """Read a list; the client's own messages must be in it, unless somebody wanted them deleted."""
    began = history.now()
    try:
        page = list_messages(ports, tenant, chat, PageRequest(limit=_PAGE, after=after))
    except (GoneError, NotFoundError):
        return
    shown = {message.number: message.revision for message in page.items}
    for number, revision in shown.items():
        history.read(began, client, TOKEN, chat, number, revision)
    last = MAX_NUMBER if page.next_cursor is None else page.next_cursor
    for number in _own(history, client, chat) - _unwanted(history, chat) - shown.keys():
        if after < number <= last:
            history.read(began, client, TOKEN, chat, number, None)


def follow(
    list_changes: ListChanges,
    ports: Ports,
    tenant: Tenant,
    history: History,
    client: str,
    chat: int,
    pages: int,
) -> None:
    """Bring the client's copy of a chat up to date, by so many pages of changes at most."""
    copy = history.copy(client, TOKEN, chat)
    for _ in range(pages):
        since = copy.since
        changes = list_changes(ports, tenant, chat, parse_since(since), _CHANGES)
        states = [
            (m.number, m.revision, None if m.deleted_at else m.body)
            for m in (change.message for change in changes.items)
        ]
        history.followed(copy, since, states, str(changes.since))
        if not changes.more:
            return


def mark_as_read(
    ports: Ports, tenant: Tenant, history: History, user: str, chat: int, number: int
) -> None:
    """Move a user's read marker, and note what the user was told."""
    began = history.now()
    reading = mark_read(ports, tenant, user, chat, number)
    history.marked(began, user, TOKEN, chat, reading.number, reading.unread)


def put_on_the_inbox(
    queues: SimulatedQueues, history: History, chat: int | None, text: str, times: int
) -> None:
    """What another service of the owner does: create a chat, or post to one, without HTTP."""
    key = f"inbox-{text}"
    record: InboxRecord
    if chat is None:
        record = InboxChat(token=TOKEN, title=text, key=key)
    else:
        record = InboxMessage(token=TOKEN, chat=chat, body=text, key=key)
    kind: Kind = "chat" if chat is None else "post"
    for _ in range(times):
        act = history.begin("a service", kind, TOKEN, chat, texts=(text,), key=key)
        queues.put("inbox", json.encode(record).decode())
        history.take(act)


def _own(history: History, client: str, chat: int) -> set[int]:
    """Numbers of messages that a client has posted and was told of."""
    return {
        act.first + i
        for act in history.acts
        if act.client == client and (act.kind, act.chat) == ("post", chat) and act.first
        for i in range(len(act.texts))
    }


def _unwanted(history: History, chat: int) -> set[int | None]:
    return {act.number for act in history.acts if (act.kind, act.chat) == ("delete", chat)}
