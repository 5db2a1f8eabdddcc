"""Search in an application or in one of its chats. Only OpenSearch is asked for messages."""

from chalicelib.domain.numbering import Counter, Page
from chalicelib.domain.search import Found, Query
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import look_at, require_chat
from chalicelib.usecases.ports import World


def search_messages(world: World, tenant: Tenant, query: Query) -> Found:
    """Raises `NotFoundError`, `GoneError` for the chat; `InvalidError` for a broken cursor.

    `ForbiddenError` for a user who may not read the chat, or, where none is named, not all of them.
    """
    tenant.require_read(query.chat)
    look = look_at(world, tenant, Counter(tenant.token, query.chat), Page(limit=0))
    if query.chat is not None:
        require_chat(world, tenant, query.chat, look.known)
    return world.index.search(query)
