"""A page of an application's chats: pending ones first, then MySQL's."""

from msgspec.structs import replace

from chalicelib.domain.numbering import Counter, Page
from chalicelib.domain.pages import Listed, merge, rows_wanted
from chalicelib.domain.records import Chat, ChatRow
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.current import look_at, newer_chat
from chalicelib.usecases.ports import World


def list_chats(world: World, tenant: Tenant, page: Page) -> Listed[ChatRow]:
    """Chats that are not deleted, with their counts. `ForbiddenError` for a user of single chats."""
    tenant.require_read(None)
    look = look_at(world, tenant, Counter(tenant.token), replace(page, limit=page.limit + 1))
    rows = world.store.list_chats(tenant.token, page, rows_wanted(page, look))
    newest = {row.chat.number: row for row in rows}
    for entry in look.pending:
        if isinstance(entry.state, Chat):
            number = entry.state.number
            newest[number] = newer_chat(newest.get(number), entry.state)
    return merge(
        page,
        look,
        newest.values(),
        lambda r: r.chat.number,
        lambda r: bool(r.chat.deleted_at),
        lambda r: len(r.chat.title or ""),
    )
