"""Move a user's read marker in a chat: only ever forward, and not above the last message."""

from chalicelib.domain.errors import GoneError
from chalicelib.domain.reading import Marker, Reading
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.count_unread import chat_ahead, marker_of, read_on
from chalicelib.usecases.ports import World


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
