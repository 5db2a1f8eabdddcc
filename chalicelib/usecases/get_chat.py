"""One chat, with its counts and the message numbers that were passed over."""

from chalicelib.domain.records import ChatRow, Numbers
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import current_chat
from chalicelib.usecases.ports import World


def get_chat(world: World, tenant: Tenant, number: int) -> tuple[ChatRow, list[Numbers]]:
    """Raises `NotFoundError`, `GoneError`; `ForbiddenError` for a user who may not read the chat."""
    tenant.require_read(number)
    row, _ = current_chat(world, tenant, number)
    return row, world.store.skipped(tenant.token, number)
