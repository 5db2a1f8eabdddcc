"""Edits and deletions: the newest accepted version wins, in Redis, in a queue and in MySQL."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    RevisionMismatchError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey, WriteResult
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.rate_limits import bucket
from chalicelib.domain.requests import ChatChange, MessageChange
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import delete_chat, delete_message, edit_chat, edit_message
from chalicelib.usecases.read import get_chat, get_message, list_messages
from tests.fakes.ports import FakePorts
from tests.fakes.sequencer import InMemorySequencer

NOW = "2026-01-01T00:00:00.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)
DRAFT = Message(number=0, revision=0, body="first", sender="ann", created_at=NOW)


@pytest.fixture(autouse=True)
def a_message(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [DRAFT])


def body(ports: FakePorts, tenant: Tenant) -> str:
    return get_message(ports, tenant, 1, 1).value.body


@pytest.mark.parametrize("persisted", [False, True])
def test_an_edit_is_read_at_once_and_after_it_is_persisted(
    ports: FakePorts, tenant: Tenant, persisted: bool
) -> None:
    if persisted:
        ports.persist()
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="second"))
    assert body(ports, tenant) == "second"
    ports.persist()
    assert body(ports, tenant) == "second"


def test_an_older_version_that_arrives_late_changes_nothing(
    ports: FakePorts, tenant: Tenant
) -> None:
    ports.persist()
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="second"))
    late = ports.queues.take("messages")
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="third"))
    ports.persist()
    ports.queues.sent["messages"] = late
    ports.persist()
    assert body(ports, tenant) == "third"


def test_an_edit_that_meets_another_is_applied_again_to_the_newer_version(
    ports: FakePorts, tenant: Tenant
) -> None:
    senders = ["x"]

    def change(message: Message) -> Message:
        if senders:
            edit_message(ports, tenant, 1, 1, lambda m: replace(m, sender=senders.pop()))
        return replace(message, body=message.body + "!")

    edit_message(ports, tenant, 1, 1, change)
    version = get_message(ports, tenant, 1, 1).value
    assert (version.body, version.sender) == ("first!", "x")


def test_an_edit_that_meets_many_others_is_tried_again_for_two_seconds(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, others = ports.sequencer.edit, iter(range(25))

    def meet_others(*args: Any) -> Any:
        if next(others, None) is not None:
            raise ConflictError("another one was faster")
        return edit(*args)

    monkeypatch.setattr(ports.sequencer, "edit", meet_others)
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="at last"))
    assert get_message(ports, tenant, 1, 1).value.body == "at last"


def test_endless_other_edits_end_in_a_conflict(ports: FakePorts, tenant: Tenant) -> None:
    def change(message: Message) -> Message:
        edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="other"))
        return message

    with pytest.raises(ConflictError):
        edit_message(ports, tenant, 1, 1, change)


def test_if_match_lets_only_the_seen_revision_be_changed(ports: FakePorts, tenant: Tenant) -> None:
    seen = get_message(ports, tenant, 1, 1).value.revision
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="second"), seen)
    with pytest.raises(RevisionMismatchError):
        edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="third"), seen)


def test_an_edit_that_always_meets_others_ends_within_seconds(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        ports.clock.wait(0.8)
        raise ConflictError("another one was faster")

    started = ports.clock.now_ms()
    monkeypatch.setattr(ports.sequencer, "edit", slow)
    with pytest.raises(ConflictError):
        edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="never"))
    assert ports.clock.now_ms() - started < 3_000


def test_a_deleted_message_leaves_lists_and_counts_and_its_number_is_not_reused(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_messages(ports, tenant, 1, [DRAFT])
    ports.persist()
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="", deleted_at=NOW))
    for _ in range(2):
        with pytest.raises(GoneError):
            get_message(ports, tenant, 1, 1)
        numbers = [
            m.number for m in list_messages(ports, tenant, 1, PageRequest(limit=10)).value.items
        ]
        assert numbers == [2]
        ports.persist()
    assert get_chat(ports, tenant, 1).value.row.messages_count == 1
    assert create_messages(ports, tenant, 1, [DRAFT]).value.first == 3


def test_an_edit_of_a_missing_message_or_chat_is_not_found(
    ports: FakePorts, tenant: Tenant
) -> None:
    with pytest.raises(NotFoundError):
        edit_message(ports, tenant, 1, 2, lambda m: m)
    with pytest.raises(NotFoundError):
        edit_message(ports, tenant, 2, 1, lambda m: m)
    with pytest.raises(NotFoundError):
        edit_chat(ports, tenant, 2, lambda c: c)


def test_an_edit_of_the_title_of_a_chat_does_not_change_its_counts(
    ports: FakePorts, tenant: Tenant
) -> None:
    ports.persist()
    row = edit_chat(ports, tenant, 1, lambda c: replace(c, title="new")).value
    assert (row.chat.title, row.messages_count) == ("new", 1)
    ports.persist()
    assert get_chat(ports, tenant, 1).value.row.chat.title == "new"


# --- retries with an Idempotency-Key

KEY = IdempotencyKey("key", "fingerprint")


def stored_bytes(ports: FakePorts) -> bytes:
    """Everything that Redis stores."""
    server = ports.sequencer.server
    return b" ".join(
        part
        for key, value in server.dataset.values.items()
        for part in (
            [key, value]
            if isinstance(value, bytes)
            else [key, *value, *value.values()]
            if isinstance(value, dict)
            else [key, *value.scores]
        )
    )


def edited(
    ports: FakePorts, tenant: Tenant, body: str, idempotency: IdempotencyKey = KEY
) -> WriteResult[Message]:
    now = rfc3339(ports.clock.now_ms())
    change = MessageChange(body=body)
    return edit_message(ports, tenant, 1, 1, lambda m: change.apply(m, now), None, idempotency)


def test_a_retried_edit_is_made_once_and_has_the_same_result(
    ports: FakePorts, tenant: Tenant
) -> None:
    first = edited(ports, tenant, "second")
    for _ in range(2):
        ports.clock.wait(5)
        again = edited(ports, tenant, "second")
        assert (again.value, again.revision, again.replayed) == (first.value, first.revision, True)
        ports.persist()


@pytest.mark.parametrize("persisted", [False, True])
def test_a_retried_edit_has_the_newer_version_after_another_edit(
    ports: FakePorts, tenant: Tenant, persisted: bool
) -> None:
    first = edited(ports, tenant, "second")
    ports.persist()
    other = edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="third", sender="bob"))
    if persisted:
        ports.persist()
    again = edited(ports, tenant, "second")
    assert (again.value, again.revision, again.replayed) == (other.value, first.revision, True)
    assert body(ports, tenant) == "third"


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("chat_too", [False, True])
def test_a_retried_edit_does_not_bring_deleted_text_back(
    ports: FakePorts, tenant: Tenant, persisted: bool, chat_too: bool
) -> None:
    change = MessageChange(metadata={"a": 1})

    def edit() -> WriteResult[Message]:
        return edit_message(ports, tenant, 1, 1, lambda m: change.apply(m, NOW), None, KEY)

    assert (edit().value.body, edit().value.sender) == ("first", "ann")
    ports.persist()
    assert edit().value.body == "first"
    if chat_too:
        delete_chat(ports, tenant, 1)
    else:
        delete_message(ports, tenant, 1, 1)
    if persisted:
        ports.persist()
    again = edit()
    assert again.replayed
    assert (again.value.body, again.value.sender, again.value.metadata) == ("", None, None)
    assert b"ann" not in stored_bytes(ports)


def test_a_retry_succeeds_although_if_match_names_the_earlier_revision(
    ports: FakePorts, tenant: Tenant
) -> None:
    seen = get_message(ports, tenant, 1, 1).value.revision
    results = [
        edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="second"), seen, KEY)
        for _ in range(2)
    ]
    assert [(a.value.revision, a.replayed) for a in results] == [
        (seen + 1, False),
        (seen + 1, True),
    ]


def test_a_retried_deletion_has_the_same_result_and_is_not_refused_as_gone(
    ports: FakePorts, tenant: Tenant
) -> None:
    def delete_message() -> tuple[int, bool]:
        done = edit_message(
            ports, tenant, 1, 1, lambda m: replace(m, body="", deleted_at=NOW), None, KEY
        )
        return done.value.revision, done.replayed

    def delete_chat() -> tuple[int, bool]:
        idempotency = IdempotencyKey("another key", "fingerprint")
        done = edit_chat(ports, tenant, 1, lambda c: replace(c, deleted_at=NOW), None, idempotency)
        return done.value.chat.revision, done.replayed

    for delete in (delete_message, delete_chat):
        revision, _ = delete()
        for _ in range(2):
            assert delete() == (revision, True)
            ports.persist()
    assert delete_message()[1]


def test_a_retried_edit_of_a_chat_has_the_counts_of_the_first_result(
    ports: FakePorts, tenant: Tenant
) -> None:
    ports.persist()
    now = rfc3339(ports.clock.now_ms())
    change = ChatChange(title=None, metadata={"a": 1})
    results = []
    for _ in range(2):
        results.append(edit_chat(ports, tenant, 1, lambda c: change.apply(c, now), None, KEY))
        create_messages(ports, tenant, 1, [DRAFT])
        ports.persist()
    first, again = (result.value for result in results)
    assert again == replace(first, chat=replace(first.chat, messages_lease=None))
    assert (again.messages_count, again.chat.metadata) == (1, {"a": 1})


def test_a_retry_after_a_failed_send_sends_the_edit(ports: FakePorts, tenant: Tenant) -> None:
    ports.persist()
    ports.queues.is_down = True
    with pytest.raises(UnavailableError):
        edited(ports, tenant, "second")
    with pytest.raises(UnavailableError):
        edited(ports, tenant, "second")
    ports.queues.is_down = False
    assert edited(ports, tenant, "second").replayed
    assert len(ports.queues.sent["messages"]) == 1
    ports.persist()
    stored = ports.store.messages.get_message(tenant.token, 1, 1)
    assert stored is not None
    assert stored.body == "second"


def test_of_two_edits_at_once_with_one_key_the_later_gets_the_result_of_the_other(
    ports: FakePorts, tenant: Tenant
) -> None:
    inner: list[WriteResult[Message]] = []

    def change(message: Message) -> Message:
        if not inner:
            inner.append(edited(ports, tenant, "second"))
        return replace(message, body="second")

    outer = edit_message(ports, tenant, 1, 1, change, None, KEY)
    assert outer.replayed
    assert outer.value == inner[0].value


def test_a_key_of_another_edit_is_refused(ports: FakePorts, tenant: Tenant) -> None:
    edited(ports, tenant, "second")
    with pytest.raises(KeyReusedError):
        edited(ports, tenant, "third", IdempotencyKey("key", "another"))


def test_an_edit_leaves_no_text_with_its_key(ports: FakePorts, tenant: Tenant) -> None:
    long = "\N{GRINNING FACE}" * 20_000
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body=long))
    ports.persist()
    before = len(stored_bytes(ports))
    change = MessageChange(metadata={"i": 1})
    for _ in range(2):
        result = edit_message(ports, tenant, 1, 1, lambda m: change.apply(m, NOW), None, KEY)
        assert (result.value.body, result.value.metadata) == (long, {"i": 1})
        ports.persist()
    assert len(stored_bytes(ports)) - before < 1_024


def test_an_edit_takes_once_from_the_rate_limit_however_often_it_reads(
    ports: FakePorts, tenant: Tenant
) -> None:
    limited = replace(tenant, buckets=(bucket(1),))
    senders = ["x", "y"]

    def change(message: Message) -> Message:
        if senders:
            edit_message(ports, tenant, 1, 1, lambda m: replace(m, sender=senders.pop()))
        return replace(message, body="second")

    result = edit_message(ports, limited, 1, 1, change)
    assert [remaining.left for remaining in result.remaining] == [1_231]
    with pytest.raises(RevisionMismatchError) as error:
        edit_message(ports, limited, 1, 1, change, if_match=1)
    assert [remaining.left for remaining in error.value.remaining] == [1_230]


def test_a_deleted_chat_accepts_nothing_after_redis_is_wiped(
    ports: FakePorts, tenant: Tenant
) -> None:
    ports.persist()
    edit_chat(ports, tenant, 1, lambda chat: replace(chat, deleted_at=NOW))
    ports.sequencer.wipe()
    create_messages(ports, tenant, 1, [DRAFT])
    ports.persist()
    with pytest.raises(GoneError):
        create_messages(ports, tenant, 1, [DRAFT])


def test_an_edit_on_a_primary_that_was_left_behind_wins_over_an_earlier_edit_on_the_other(
    ports: FakePorts, tenant: Tenant
) -> None:
    """Two primaries, and then the first one alone. The edit of the other is still in its queue."""
    ports.persist()
    left_behind, other = ports.sequencer, InMemorySequencer(ports.clock, ports.lease_window)
    for sequencer, text in ((other, "other"), (left_behind, "left behind")):
        ports.sequencer = sequencer
        edit_message(ports, tenant, 1, 1, lambda m, text=text: replace(m, body=text))  # type: ignore[misc]
    ports.persist()
    assert body(ports, tenant) == "left behind"
