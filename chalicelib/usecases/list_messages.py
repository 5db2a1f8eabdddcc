"""A page of a chat's messages: pending ones first, then MySQL's, so that writers read their own writes."""

from msgspec.structs import replace

from chalicelib.domain.numbering import Counter, Page
from chalicelib.domain.pages import Listed, merge, rows_wanted
from chalicelib.domain.records import Message
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import look_at, require_chat
from chalicelib.usecases.ports import World


def list_messages(world: World, tenant: Tenant, chat: int, page: Page) -> Listed[Message]:
    """Messages that are not deleted. Raises `NotFoundError`, `GoneError`, `ForbiddenError`."""
    tenant.require_read(chat)
    wide = replace(page, limit=page.limit + 1)
    look = look_at(world, tenant, Counter(tenant.token, chat), wide)
    rows = world.store.list_messages(tenant.token, chat, page, rows_wanted(page, look))
    if not rows:
        require_chat(world, tenant, chat, look.known)
    newest = {row.number: row for row in rows}
    for entry in look.pending:
        state = entry.state
        if isinstance(state, Message) and (
            state.number not in newest or state.revision > newest[state.number].revision
        ):
            newest[state.number] = state
    return merge(
        page,
        look,
        newest.values(),
        lambda m: m.number,
        lambda m: bool(m.deleted_at),
        lambda m: len(m.body),
    )
