"""One message, in its newest accepted state."""

from chalicelib.domain.records import Message
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import current_message
from chalicelib.usecases.ports import World


def get_message(world: World, tenant: Tenant, chat: int, number: int) -> Message:
    """Raises `NotFoundError`, `GoneError`; `ForbiddenError` for a user who may not read the chat."""
    tenant.require_read(chat)
    return current_message(world, tenant, chat, number).state
