"""Accept the records that other services put on the inbox queue, as if they had come over HTTP."""

import hashlib
from collections.abc import Sequence

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    DeadlineError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    OrdinalError,
    OutageError,
    PoisonError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.inbox import InboxChat, InboxRecord
from chalicelib.domain.metrics import CHATS_ACCEPTED, IDEMPOTENT_REPLAYS, MESSAGES_ACCEPTED
from chalicelib.domain.models import AppToken, Chat, Message, Timestamp
from chalicelib.domain.queue_records import AnyRecord
from chalicelib.domain.times import Deadline, rfc3339
from chalicelib.usecases.accept import (
    Numbered,
    assign_chat_number,
    assign_message_numbers,
    enqueue,
)
from chalicelib.usecases.ports import Ports


def accept_inbox(
    ports: Ports, records: Sequence[InboxRecord], deadline: Deadline
) -> dict[int, Exception]:
    """Give each record its number, then enqueue all that have one. Returns the error of each other record.

    A record has `PoisonError` if it can never be accepted, and `DeadlineError` if there was no time for it.
    If one record of an application must wait, the other records of that application come last.

    Raises `OutageError` if nothing could be enqueued. When the records are delivered again, their keys make
    them replays, and what did not reach the queue is enqueued.
    """
    inbox = _Inbox(ports)
    postponed: list[int] = []
    for index, record in enumerate(records):
        if record.token in inbox.waiting_tokens:
            postponed.append(index)
        else:
            inbox.accept(index, record, deadline)
    for index in postponed:
        inbox.accept(index, records[index], deadline)
    inbox.enqueue()
    return inbox.errors


class _Inbox:
    """The records of one call, by their indexes: what has a number, and what failed."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._now = rfc3339(ports.clock.now_ms())
        self._tenants: dict[AppToken, Tenant | None] = {}
        self._numbered: dict[int, list[AnyRecord]] = {}
        self.waiting_tokens: set[AppToken] = set()
        self.errors: dict[int, Exception] = {}

    def accept(self, index: int, record: InboxRecord, deadline: Deadline) -> None:
        """Give a record its number, or note its error."""
        if index > 0 and not deadline.allows_step():
            self.errors[index] = DeadlineError("there was no time for this record")
            return
        try:
            with deadline.step():
                numbered = _assign_number(
                    self._ports, self._tenant(record.token), record, self._now
                )
        except Exception as error:
            self.errors[index] = error
            if isinstance(error, OrdinalError) and error.retryable:
                self.waiting_tokens.add(record.token)
            return
        self._numbered[index] = numbered.records
        if numbered.accepted.replayed:
            self._ports.metrics.count(IDEMPOTENT_REPLAYS)
        else:
            kind = CHATS_ACCEPTED if isinstance(record, InboxChat) else MESSAGES_ACCEPTED
            self._ports.metrics.count(kind)

    def enqueue(self) -> None:
        """Send what has a number: all of it together, or, if SQS refuses that, each record alone."""
        try:
            enqueue(self._ports, [r for records in self._numbered.values() for r in records])
        except OutageError:
            raise
        except OrdinalError:
            for index, records in self._numbered.items():
                try:
                    enqueue(self._ports, records)
                except OutageError:
                    raise
                except OrdinalError as error:
                    self.errors[index] = error

    def _tenant(self, token: AppToken) -> Tenant | None:
        """The application, without a check of a key: a service that may use the queue may write for each."""
        if token not in self._tenants:
            application = self._ports.store.applications.get_application(token)
            self._tenants[token] = Tenant(token, application.key_version) if application else None
        return self._tenants[token]


def _assign_number(
    ports: Ports, tenant: Tenant | None, record: InboxRecord, now: Timestamp
) -> Numbered[Message] | Numbered[Chat]:
    if tenant is None:
        raise PoisonError("there is no such application")
    idempotency = _idempotency(record)
    try:
        if isinstance(record, InboxChat):
            return assign_chat_number(ports, tenant, record.draft(now, record.key), idempotency)
        return assign_message_numbers(
            ports, tenant, record.chat, [record.draft(now, record.key)], idempotency
        )
    except UnauthenticatedError as error:
        raise UnavailableError("the application's key was rotated at the same time") from error
    except (NotFoundError, GoneError, KeyReusedError) as error:
        raise PoisonError(str(error)) from error


def _idempotency(record: InboxRecord) -> IdempotencyKey:
    """The record's key. A line feed keeps it apart from the keys of HTTP, which are printable."""
    fingerprint = hashlib.sha256(msgspec.json.encode(record)).hexdigest()
    return IdempotencyKey(f"inbox\n{record.key}", fingerprint)
