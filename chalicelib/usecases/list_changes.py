"""The changes of a chat's messages since a place, for clients that keep a copy.

Only what is stored is told. The place moves over what was told and nothing else, so whatever is still
pending, on a queue, or late comes behind it; Redis is only asked whether the chat is there.
"""

from chalicelib.domain.changes import Changes, Since
from chalicelib.domain.numbering import Counter, Page
from chalicelib.domain.pages import fitting
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import look_at, require_chat
from chalicelib.usecases.ports import World


def list_changes(world: World, tenant: Tenant, chat: int, since: Since, limit: int) -> Changes:
    """Up to `limit` changes. Raises `NotFoundError`, `GoneError`, `ForbiddenError`."""
    tenant.require_read(chat)
    look = look_at(world, tenant, Counter(tenant.token, chat), Page(limit=0))
    found = world.store.list_changes(tenant.token, chat, since, limit + 1)
    if not found:
        require_chat(world, tenant, chat, look.known)
    shown = fitting(found[:limit], lambda change: len(change.message.body))
    return Changes(tuple(shown), shown[-1].since if shown else since, len(found) > len(shown))
