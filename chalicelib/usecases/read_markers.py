"""Read markers: how far a user has read, and how many messages are unread."""

from collections.abc import Sequence

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.errors import GoneError
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import ChatNumber
from chalicelib.domain.paging import Page, PageRequest, only
from chalicelib.domain.rate_limits import Result
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnpersistedChats, UnreadCount
from chalicelib.usecases.accept import with_lease
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import require_chat


def mark_read(
    ports: Ports, tenant: Tenant, user: str, chat: ChatNumber, number: int
) -> Result[UnreadCount]:
    """Move a user's marker up to a number: never back, and not above the last message.

    Returns the marker as it is now. Raises `NotFoundError`, `GoneError`. Raises `ForbiddenError` if a user
    may not read the chat, or the marker belongs to another user.

    Redis is read first: a number that is no longer pending by then is already in MySQL.
    """
    tenant.require_reader(user)
    tenant.require_read(chat)
    unpersisted = _read_unpersisted(ports, tenant, [chat])
    with remaining_on_errors(unpersisted.remaining):
        chat_in_redis = _existing(ports, tenant, chat, unpersisted)
        ports.store.read_markers.mark_read(
            tenant.token, user, ReadMarker(chat, number), chat_in_redis.last
        )
        marker = _find_marker(ports, tenant, user, chat)
        if marker is None:
            raise GoneError("the chat was deleted")
        unread = _count_above(ports, tenant, marker, chat_in_redis)
    return Result(unread, unpersisted.remaining)


def get_read_marker(
    ports: Ports, tenant: Tenant, user: str, chat: ChatNumber
) -> Result[UnreadCount]:
    """A user's marker in a chat; without a marker all messages are unread. Raises as `mark_read`."""
    tenant.require_reader(user)
    tenant.require_read(chat)
    unpersisted = _read_unpersisted(ports, tenant, [chat])
    with remaining_on_errors(unpersisted.remaining):
        chat_in_redis = _existing(ports, tenant, chat, unpersisted)
        marker = _find_marker(ports, tenant, user, chat) or ReadMarker(chat, 0)
        unread = _count_above(ports, tenant, marker, chat_in_redis)
    return Result(unread, unpersisted.remaining)


def list_read_markers(
    ports: Ports, tenant: Tenant, user: str, page: PageRequest
) -> Result[Page[UnreadCount, int]]:
    """A page of the user's markers, by chat. A page that is not full need not be the last one.

    Raises `ForbiddenError` for another user, and for a user of single chats.
    """
    tenant.require_reader(user)
    tenant.require_read(None)
    markers = ports.store.read_markers.list_read_markers(tenant.token, user, page, page.limit + 1)
    shown = markers[: page.limit]
    unpersisted = _read_unpersisted(ports, tenant, [marker.chat for marker in shown])
    with remaining_on_errors(unpersisted.remaining):
        counts = ports.store.read_markers.count_unread(tenant.token, shown, unpersisted.chats)
    next_cursor = shown[-1].chat if len(markers) > page.limit else None
    return Result(Page(tuple(counts), next_cursor), unpersisted.remaining)


def _read_unpersisted(
    ports: Ports, tenant: Tenant, chats: Sequence[ChatNumber]
) -> UnpersistedChats:
    """What Redis knows of these chats.

    This also checks that the key's version is valid, even without any chat, and takes from the tenant's
    buckets.
    """
    return with_lease(
        ports,
        tenant,
        Counter(tenant.token),
        lambda tenant: ports.sequencer.read_unpersisted(tenant, chats),
    )


def _existing(
    ports: Ports, tenant: Tenant, chat: ChatNumber, unpersisted: UnpersistedChats
) -> UnpersistedChat:
    """What Redis knows of the chat. Raises `NotFoundError` or `GoneError` if the chat does not exist."""
    chat_in_redis = unpersisted.chats[chat]
    if chat_in_redis.gone:
        raise GoneError("the chat was deleted")
    require_chat(ports, tenant, chat, chat_in_redis.known)
    return chat_in_redis


def _find_marker(ports: Ports, tenant: Tenant, user: str, chat: ChatNumber) -> ReadMarker | None:
    markers = ports.store.read_markers.list_read_markers(tenant.token, user, only(chat), 1)
    return markers[0] if markers else None


def _count_above(
    ports: Ports, tenant: Tenant, marker: ReadMarker, chat_in_redis: UnpersistedChat
) -> UnreadCount:
    """How many messages lie above the marker. `chat_in_redis` was read before the marker."""
    counts = ports.store.read_markers.count_unread(
        tenant.token, [marker], {marker.chat: chat_in_redis}
    )
    if not counts:
        raise GoneError("the chat was deleted")
    return counts[0]
