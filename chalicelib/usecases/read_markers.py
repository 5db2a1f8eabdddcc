"""Read markers: how far a user has read, and how much is unread."""

from collections.abc import Sequence

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import GoneError
from chalicelib.domain.leases import Counter
from chalicelib.domain.paging import Page, PageRequest
from chalicelib.domain.unread import ReadMarker, UnpersistedChat, UnreadCount
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import one, require_chat

# How many messages a user has not read, in one chat or in all in which the user has a marker.


def get_read_marker(ports: Ports, tenant: Tenant, user: str, chat: int) -> UnreadCount:
    """All of them, where the user never set a marker. Raises as `mark_read`."""
    tenant.require_reader(user)
    tenant.require_read(chat)
    unpersisted = read_unpersisted(ports, tenant, chat)
    return count_above(
        ports, tenant, _find_marker(ports, tenant, user, chat) or ReadMarker(chat, 0), unpersisted
    )


def list_read_markers(
    ports: Ports, tenant: Tenant, user: str, page: PageRequest
) -> Page[UnreadCount]:
    """A page of the user's markers, by chat. One that is not full need not be the last.

    Raises `ForbiddenError` for another user, and for one of single chats.
    """
    tenant.require_reader(user)
    tenant.require_read(None)
    markers = ports.store.read_markers.list_read_markers(tenant.token, user, page, page.limit + 1)
    shown = markers[: page.limit]
    unpersisted = _read_unpersisted(ports, tenant, [marker.chat for marker in shown])
    readings = ports.store.read_markers.count_unread(tenant.token, shown, unpersisted)
    next_cursor = shown[-1].chat if len(markers) > page.limit else None
    return Page(tuple(readings), next_cursor)


def read_unpersisted(ports: Ports, tenant: Tenant, chat: int) -> UnpersistedChat:
    """What Redis knows of a chat. Raises `NotFoundError`, `GoneError` unless the chat is there."""
    unpersisted = _read_unpersisted(ports, tenant, [chat])[chat]
    if unpersisted.gone:
        raise GoneError("the chat was deleted")
    require_chat(ports, tenant, chat, unpersisted.known)
    return unpersisted


def _find_marker(ports: Ports, tenant: Tenant, user: str, chat: int) -> ReadMarker | None:
    """The user's marker in a chat, if there is one."""
    return next(
        iter(ports.store.read_markers.list_read_markers(tenant.token, user, one(chat), 1)), None
    )


def count_above(
    ports: Ports, tenant: Tenant, marker: ReadMarker, unpersisted: UnpersistedChat
) -> UnreadCount:
    """What lies above a marker. `ahead` was read before it."""
    readings = ports.store.read_markers.count_unread(
        tenant.token, [marker], {marker.chat: unpersisted}
    )
    if not readings:
        raise GoneError("the chat was deleted")
    return readings[0]


def _read_unpersisted(
    ports: Ports, tenant: Tenant, chats: Sequence[int]
) -> dict[int, UnpersistedChat]:
    """It also checks that the key's version is valid, without any chat too, and takes from the allowance."""
    token, key_version, rate_limit = tenant.token, tenant.key_version, tenant.rate_limit
    return with_lease(
        ports,
        Counter(token),
        lambda: ports.sequencer.read_unpersisted(token, key_version, chats, rate_limit),
    )


# Move a user's read marker in a chat: only ever forward, and not above the last message.


def mark_read(ports: Ports, tenant: Tenant, user: str, chat: int, number: int) -> UnreadCount:
    """The marker as it is now. Raises `NotFoundError`, `GoneError`; `ForbiddenError` for a user whose
    marker it is not, or who may not read the chat.

    Redis is asked first: a number that is not pending there any more is in MySQL by the time that it
    is asked.
    """
    tenant.require_reader(user)
    tenant.require_read(chat)
    unpersisted = read_unpersisted(ports, tenant, chat)
    ports.store.read_markers.mark_read(
        tenant.token, user, ReadMarker(chat, number), unpersisted.last
    )
    marker = _find_marker(ports, tenant, user, chat)
    if marker is None:
        raise GoneError("the chat was deleted")
    return count_above(ports, tenant, marker, unpersisted)
