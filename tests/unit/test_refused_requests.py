"""What is refused takes from the rate limit too, and does little work."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, User
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    NotFoundError,
    OrdinalError,
    RateLimitedError,
    UnavailableError,
)
from chalicelib.domain.leases import Counter, LeaseMissing
from chalicelib.domain.limits import DELETION_COST_OF_CHAT
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.rate_limits import MIN_BUCKET, Bucket, bucket, cost_of
from chalicelib.usecases.accept import create_chat, create_message, create_messages
from chalicelib.usecases.edit import delete_chat, edit_chat, edit_message
from chalicelib.usecases.read import get_message
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)
DRAFT = Message(number=0, revision=0, body="hello", sender="ann", created_at=NOW)


@pytest.fixture
def ann(ports: FakePorts, tenant: Tenant) -> Tenant:
    """A user of an application with the chats 1 (open) and 2 (deleted)."""
    for _ in range(2):
        create_chat(ports, tenant, CHAT)
    ports.persist()
    delete_chat(ports, tenant, 2)
    ports.persist()
    return replace(tenant, user=User("ann"), buckets=(bucket(20_000), bucket(50, "ann")))


class Calls:
    """Counts the calls of a role of the store."""

    def __init__(self, role: Any) -> None:
        self._role = role
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        self.count += 1
        return getattr(self._role, name)


@pytest.mark.parametrize(
    ("chat", "error"), [(999, NotFoundError), (2, GoneError)], ids=["absent", "deleted"]
)
def test_posts_that_are_refused_end_at_the_rate_limit(
    ports: FakePorts, ann: Tenant, chat: int, error: type[OrdinalError]
) -> None:
    for n in range(MIN_BUCKET):
        with pytest.raises(error) as refused:
            create_message(ports, ann, chat, DRAFT)
        assert refused.value.remaining[-1].left == MIN_BUCKET - n - 1
    with pytest.raises(RateLimitedError) as limited:
        create_message(ports, ann, chat, DRAFT)
    assert limited.value.limit == "user"


def test_reads_and_posts_share_one_limit(ports: FakePorts, ann: Tenant) -> None:
    for _ in range(MIN_BUCKET // 2):
        with pytest.raises(NotFoundError):
            get_message(ports, ann, 1, 7)
        with pytest.raises(NotFoundError):
            edit_message(ports, ann, 1, 7, lambda m: m)
    with pytest.raises(RateLimitedError):
        create_message(ports, ann, 1, DRAFT)


def test_mysql_is_queried_once_for_many_posts_to_a_chat_that_does_not_exist(
    ports: FakePorts, ann: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(ports.store)
    monkeypatch.setattr(type(ports.store), "leases", calls)
    for _ in range(50):
        with pytest.raises(NotFoundError):
            create_message(ports, ann, 999, DRAFT)
    assert calls.count == 2  # the lease of the chat, and whether its record may still arrive
    ports.clock.wait(3)
    with pytest.raises(NotFoundError):
        create_message(ports, ann, 999, DRAFT)
    assert calls.count == 4


def test_a_chat_is_found_as_soon_as_it_is_created(
    ports: FakePorts, tenant: Tenant, ann: Tenant
) -> None:
    with pytest.raises(NotFoundError):
        create_message(ports, ann, 3, DRAFT)
    assert create_chat(ports, tenant, CHAT).value.number == 3
    assert create_message(ports, ann, 3, DRAFT).value.number == 1
    ports.persist()
    assert create_message(ports, ann, 3, DRAFT).value.number == 2


def test_a_request_that_acquires_a_lease_takes_once(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    ports.persist()
    ports.sequencer.restart()
    limited = replace(tenant, buckets=(Bucket(0.01, 9),))
    result = create_messages(ports, limited, 1, [DRAFT, DRAFT])
    assert result.value.first > 1
    assert [each.left for each in result.remaining] == [7]
    edited = edit_message(ports, limited, 1, result.value.first, lambda m: replace(m, body="new"))
    assert [each.left for each in edited.remaining] == [6]


def test_a_request_without_a_lease_shows_what_is_left(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    ports.sequencer.wipe()
    limited = replace(tenant, buckets=(Bucket(0.01, 9),))
    with pytest.raises(UnavailableError) as error:
        create_message(ports, limited, 1, DRAFT)
    assert [each.left for each in error.value.remaining] == [8]


def test_an_attempt_that_another_one_overtook_does_not_wait_for_itself(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_chat(ports, tenant, CHAT)
    ports.persist()
    ports.sequencer.restart()
    acquire_lease, overtaken = ports.store.acquire_lease, []

    def acquire_late(*args: Any) -> Any:
        if not overtaken:
            overtaken.append(True)
            raise ConflictError("another lease was acquired meanwhile")
        return acquire_lease(*args)

    monkeypatch.setattr(ports.store, "acquire_lease", acquire_late)
    before = ports.clock.now_ms()
    create_message(ports, tenant, 1, DRAFT)
    assert overtaken
    assert ports.clock.now_ms() - before < 100


def test_only_so_many_requests_wait_for_a_lease(ports: FakePorts, ann: Tenant) -> None:
    restart_redis(ports, ann)
    counter = Counter(ann.token, 1)
    missing = ports.sequencer.accept(ann, counter, [DRAFT])
    assert isinstance(missing, LeaseMissing)
    for _ in range(32):
        ports.sequencer.accept(ann, counter, [DRAFT])
    before = ports.clock.now_ms()
    with pytest.raises(UnavailableError) as error:
        create_message(ports, ann, 1, DRAFT)
    assert ports.clock.now_ms() == before
    assert error.value.retry_after_seconds == 1
    ports.clock.wait(5)
    assert create_message(ports, ann, 1, DRAFT).value.number > 0


def restart_redis(ports: FakePorts, tenant: Tenant) -> None:
    """Restart Redis, and cache the application in it again."""
    ports.sequencer.restart()
    with pytest.raises(NotFoundError):
        get_message(ports, tenant, 1, 7)


def test_the_deletion_of_a_chat_costs_more_than_other_edits(ports: FakePorts, ann: Tenant) -> None:
    server = replace(ann, user=None, buckets=(bucket(20_000),))
    full = bucket(20_000).size
    [left] = edit_chat(ports, server, 1, lambda chat: replace(chat, title="t")).remaining
    assert left.left == full - 1
    [left] = delete_chat(ports, server, 1).remaining
    assert left.left == full - 1 - DELETION_COST_OF_CHAT


def test_a_large_message_costs_more() -> None:
    assert [cost_of([size]) for size in (1, 4_096, 4_097, 80_000)] == [1, 1, 2, 20]
    assert cost_of([1] * 500) == 500
    assert bucket(1).size == MIN_BUCKET >= cost_of([3_000_000 // 500] * 500)
