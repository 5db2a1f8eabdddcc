"""Read markers: how far a user has read, and how much is unread."""

from collections.abc import Sequence

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import GoneError
from chalicelib.domain.leases import Counter
from chalicelib.domain.paging import Listed, Page
from chalicelib.domain.unread import Ahead, Marker, Reading
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import World
from chalicelib.usecases.read import one, require_chat

# How many messages a user has not read, in one chat or in all in which the user has a marker.


def count_unread(world: World, tenant: Tenant, user: str, chat: int) -> Reading:
    """All of them, where the user never set a marker. Raises as `mark_read`."""
    tenant.require_reader(user)
    tenant.require_read(chat)
    ahead = chat_ahead(world, tenant, chat)
    return read_on(world, tenant, marker_of(world, tenant, user, chat) or Marker(chat, 0), ahead)


def list_unread(world: World, tenant: Tenant, user: str, page: Page) -> Listed[Reading]:
    """A page of the user's markers, by chat. One that is not full need not be the last.

    Raises `ForbiddenError` for another user, and for one of single chats.
    """
    tenant.require_reader(user)
    tenant.require_read(None)
    markers = world.store.list_markers(tenant.token, user, page, page.limit + 1)
    shown = markers[: page.limit]
    ahead = _ahead(world, tenant, [marker.chat for marker in shown])
    readings = world.store.count_unread(tenant.token, shown, ahead)
    more_from = shown[-1].chat if len(markers) > page.limit else None
    return Listed(tuple(readings), more_from)


def chat_ahead(world: World, tenant: Tenant, chat: int) -> Ahead:
    """What Redis knows of a chat. Raises `NotFoundError`, `GoneError` unless the chat is there."""
    ahead = _ahead(world, tenant, [chat])[chat]
    if ahead.gone:
        raise GoneError("the chat was deleted")
    require_chat(world, tenant, chat, ahead.known)
    return ahead


def marker_of(world: World, tenant: Tenant, user: str, chat: int) -> Marker | None:
    """The user's marker in a chat, if there is one."""
    return next(iter(world.store.list_markers(tenant.token, user, one(chat), 1)), None)


def read_on(world: World, tenant: Tenant, marker: Marker, ahead: Ahead) -> Reading:
    """What lies above a marker. `ahead` was read before it."""
    readings = world.store.count_unread(tenant.token, [marker], {marker.chat: ahead})
    if not readings:
        raise GoneError("the chat was deleted")
    return readings[0]


def _ahead(world: World, tenant: Tenant, chats: Sequence[int]) -> dict[int, Ahead]:
    """It also checks that the key's version is valid, without any chat too, and takes from the allowance."""
    token, key_version, allowance = tenant.token, tenant.key_version, tenant.allowance
    return with_lease(
        world, Counter(token), lambda: world.ledger.ahead(token, key_version, chats, allowance)
    )


# Move a user's read marker in a chat: only ever forward, and not above the last message.


def mark_read(world: World, tenant: Tenant, user: str, chat: int, number: int) -> Reading:
    """The marker as it is now. Raises `NotFoundError`, `GoneError`; `ForbiddenError` for a user whose
    marker it is not, or who may not read the chat.

    Redis is asked first: a number that is not pending there any more is in MySQL by the time that it
    is asked.
    """
    tenant.require_reader(user)
    tenant.require_read(chat)
    ahead = chat_ahead(world, tenant, chat)
    world.store.move_marker(tenant.token, user, Marker(chat, number), ahead.last)
    marker = marker_of(world, tenant, user, chat)
    if marker is None:
        raise GoneError("the chat was deleted")
    return read_on(world, tenant, marker, ahead)
