"""Accept a new chat of an application: its number from Redis, the record to SQS."""

from msgspec.structs import replace

from chalicelib.domain.metrics import CHATS_ACCEPTED, REPLAYS
from chalicelib.domain.numbering import Accepted, Counter, IdempotencyMark
from chalicelib.domain.records import AnyRecord, Chat, ChatsRecord, Lease, records_of
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.hand_over import hand_over
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import World

_FIRST_EPOCH = 1


def accept_chat(
    world: World, tenant: Tenant, draft: Chat, mark: IdempotencyMark | None = None
) -> Accepted:
    """Give the chat its number. Messages can be posted to it at once. Raises as `accept_messages`."""
    accepted, records = number_chat(world, tenant, draft, mark)
    hand_over(world, records)
    world.meter.count(REPLAYS if accepted.replayed else CHATS_ACCEPTED)
    return accepted


def number_chat(
    world: World, tenant: Tenant, draft: Chat, mark: IdempotencyMark | None
) -> tuple[Accepted, list[AnyRecord]]:
    """Give the chat its number; the records are the caller's to hand over, as `number_messages`."""
    tenant.require_key()
    counter = Counter(tenant.token)
    key_version, allowance = tenant.key_version, tenant.allowance
    accepted = with_lease(
        world,
        counter,
        lambda: world.ledger.accept(counter, key_version, [draft], mark, allowance),
    )
    if accepted.replayed:
        return accepted, [*records_of(tenant.token, None, accepted.pending)]
    chat = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        messages_lease=Lease(accepted.lease.holder, _FIRST_EPOCH, world.lease_window),
    )
    return accepted, [ChatsRecord(token=tenant.token, lease=accepted.lease, chats=[chat])]
