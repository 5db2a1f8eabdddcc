"""The requests of the clients, as the HTTP endpoints handle them, and how the history records them."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import json
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Changes, Since, parse_since
from chalicelib.domain.errors import GoneError, NotFoundError
from chalicelib.domain.idempotency import IdempotencyKey, WriteResult
from chalicelib.domain.inbox import InboxChat, InboxMessage, InboxRecord
from chalicelib.domain.limits import MAX_NUMBER
from chalicelib.domain.models import (
    AppToken,
    Chat,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import get_message, list_messages
from chalicelib.usecases.read_markers import mark_read
from tests.invariants.history import GONE, Attempt, History, Kind, ShownPage
from tests.simulation.queues import SimulatedQueues

TOKEN = AppToken("0123456789abcdef0123456789abcd")
_PAGE = 8
_CHANGES = 3

ListChanges = Callable[[Ports, Tenant, ChatNumber, Since, int], Result[Changes]]

# First number, last number, revision.
Acknowledged = tuple[int, int, int]


class Request(msgspec.Struct, frozen=True):
    """One operation. With a key it may be sent more than once."""

    kind: Kind
    chat: int | None = None
    number: int | None = None
    texts: tuple[str, ...] = ()
    key: str | None = None

    def start(self, history: History, client: str) -> Attempt:
        return history.start(
            client,
            self.kind,
            TOKEN,
            self.chat,
            number=self.number,
            texts=self.texts,
            key=self.key,
        )

    def send(self, ports: Ports, tenant: Tenant) -> Acknowledged:
        """The acknowledged numbers. Raises `OrdinalError`."""
        return _SEND[self.kind](self, ports, tenant, rfc3339(ports.clock.now_ms()))

    def __str__(self) -> str:
        sentence = {
            "chat": "creates a chat",
            "post": f"posts {', '.join(self.texts)} to chat {self.chat}",
            "edit": f"edits message {self.number} of chat {self.chat} to {', '.join(self.texts)}",
            "delete": f"deletes message {self.number} of chat {self.chat}",
            "edit_chat": f"renames chat {self.chat} to {', '.join(self.texts)}",
            "delete_chat": f"deletes chat {self.chat}",
        }[self.kind]
        return sentence + (f" with the key {self.key}" if self.key else "")


Send = Callable[[Request, Ports, Tenant, Timestamp], Acknowledged]


def _idempotency_key(request: Request) -> IdempotencyKey | None:
    return IdempotencyKey(request.key, "fingerprint") if request.key else None


def _acknowledged(result: WriteResult[Any]) -> Acknowledged:
    assert result.numbers is not None
    assert result.revision is not None
    return result.numbers.first, result.numbers.last, result.revision


def _chat(request: Request, ports: Ports, tenant: Tenant, now: Timestamp) -> Acknowledged:
    draft = Chat(
        number=ChatNumber(0),
        revision=Revision(0),
        title=request.texts[0],
        created_at=now,
        idempotency_key=request.key,
    )
    return _acknowledged(create_chat(ports, tenant, draft, _idempotency_key(request)))


def _post(request: Request, ports: Ports, tenant: Tenant, now: Timestamp) -> Acknowledged:
    drafts = [
        Message(number=MessageNumber(0), revision=Revision(0), body=text, created_at=now)
        for text in request.texts
    ]
    assert request.chat is not None
    idempotency = _idempotency_key(request)
    return _acknowledged(
        create_messages(ports, tenant, ChatNumber(request.chat), drafts, idempotency)
    )


def _change_message(change: Callable[[Request, Message, Timestamp], Message]) -> Send:
    def send(request: Request, ports: Ports, tenant: Tenant, now: Timestamp) -> Acknowledged:
        assert request.chat is not None
        assert request.number is not None
        result = edit_message(
            ports,
            tenant,
            ChatNumber(request.chat),
            MessageNumber(request.number),
            lambda m: change(request, m, now),
            None,
            _idempotency_key(request),
        )
        return _acknowledged(result)

    return send


def _edited(request: Request, message: Message, now: Timestamp) -> Message:
    """The edited message. Its metadata lists all edits that led to it."""
    text, earlier = request.texts[0], edits_of(message)
    return replace(message, body=text, metadata={"edits": [*earlier, text]}, edited_at=now)


def _named(request: Request, chat: Chat, now: Timestamp) -> Chat:
    """The renamed chat. Its metadata lists all edits that led to it."""
    text, earlier = request.texts[0], edits_of(chat)
    return replace(chat, title=text, metadata={"edits": [*earlier, text]}, edited_at=now)


def edits_of(version: Message | Chat) -> tuple[str, ...]:
    """The texts of all edits that led to this version."""
    return tuple((version.metadata or {"edits": []})["edits"])


def _change_chat(change: Callable[[Request, Chat, Timestamp], Chat]) -> Send:
    def send(request: Request, ports: Ports, tenant: Tenant, now: Timestamp) -> Acknowledged:
        assert request.chat is not None
        result = edit_chat(
            ports,
            tenant,
            ChatNumber(request.chat),
            lambda c: change(request, c, now),
            None,
            _idempotency_key(request),
        )
        return _acknowledged(result)

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
    ports: Ports,
    tenant: Tenant,
    history: History,
    client: str,
    chat: int,
    number: int,
) -> None:
    """Read a message by its number, and record the result."""
    began = history.now()
    revision: int | None
    try:
        revision = get_message(
            ports, tenant, ChatNumber(chat), MessageNumber(number)
        ).value.revision
    except GoneError:
        revision = GONE
    except NotFoundError:
        revision = None
    history.record_read(began, client, TOKEN, chat, number, revision)


def read_page(
    ports: Ports, tenant: Tenant, history: History, client: str, chat: int, after: int
) -> None:
    """Read a list. The client's own messages must be in it, unless a client tried to delete them."""
    began = history.now()
    try:
        page = list_messages(
            ports, tenant, ChatNumber(chat), PageRequest(limit=_PAGE, after=after)
        ).value
    except (GoneError, NotFoundError):
        return
    shown = {message.number: message.revision for message in page.items}
    history.record_page(ShownPage(client, TOKEN, chat, after, tuple(shown)))
    for number, revision in shown.items():
        history.record_read(began, client, TOKEN, chat, number, revision)
    last = MAX_NUMBER if page.next_cursor is None else page.next_cursor
    for own in _own(history, client, chat) - _maybe_deleted(history, chat) - shown.keys():
        if after < own <= last:
            history.record_read(began, client, TOKEN, chat, own, None)


def follow(
    list_changes: ListChanges,
    ports: Ports,
    tenant: Tenant,
    history: History,
    client: str,
    chat: int,
    pages: int,
) -> None:
    """Apply up to so many pages of the change feed to the client's copy of a chat."""
    copy = history.copy_of(client, TOKEN, chat)
    for _ in range(pages):
        since = copy.since
        changes = list_changes(ports, tenant, ChatNumber(chat), parse_since(since), _CHANGES).value
        versions = [
            (m.number, m.revision, None if m.deleted_at else m.body)
            for m in (change.message for change in changes.items)
        ]
        history.record_changes(copy, since, versions, str(changes.since))
        if not changes.more:
            return


def move_marker(
    ports: Ports,
    tenant: Tenant,
    history: History,
    user: str,
    chat: int,
    number: int,
) -> None:
    """Move a user's read marker, and record the response."""
    began = history.now()
    marker = mark_read(ports, tenant, user, ChatNumber(chat), number).value
    history.record_marker(began, user, TOKEN, chat, marker.number, marker.unread)


def send_to_inbox(
    queues: SimulatedQueues, history: History, chat: int | None, text: str, times: int
) -> None:
    """Create a chat, or post to one, through the inbox queue, as another service of the owner does."""
    key = f"inbox-{text}"
    record: InboxRecord
    if chat is None:
        record = InboxChat(token=TOKEN, title=text, key=key)
    else:
        record = InboxMessage(token=TOKEN, chat=ChatNumber(chat), body=text, key=key)
    kind: Kind = "chat" if chat is None else "post"
    for _ in range(times):
        attempt = history.start("a service", kind, TOKEN, chat, texts=(text,), key=key)
        queues.put("inbox", json.encode(record).decode())
        history.enqueue(attempt)


def _own(history: History, client: str, chat: int) -> set[int]:
    """The numbers of the client's acknowledged messages."""
    return {
        attempt.first + i
        for attempt in history.attempts
        if attempt.client == client
        and (attempt.kind, attempt.chat) == ("post", chat)
        and attempt.first
        for i in range(len(attempt.texts))
    }


def _maybe_deleted(history: History, chat: int) -> set[int | None]:
    """The numbers of the messages that a client tried to delete."""
    return {
        attempt.number
        for attempt in history.attempts
        if (attempt.kind, attempt.chat) == ("delete", chat)
    }
