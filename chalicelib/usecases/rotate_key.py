"""Give an application the next version of its secret key, and end the one before."""

from chalicelib.domain.errors import ConflictError, ForbiddenError
from chalicelib.domain.numbering import Once
from chalicelib.domain.records import Application
from chalicelib.domain.retries import Changed
from chalicelib.domain.tenants import Tenant
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.applications import get_application, made_before, require_tenant
from chalicelib.usecases.ports import World


def rotate_key(
    world: World,
    token: str,
    sender: Tenant | None,
    overlap_seconds: int,
    once: Once | None = None,
) -> Changed[Application]:
    """The application with its new version. `sender` is None where the admin asks.

    When this returns, the key before is refused by every request that begins from now on, or, where it
    overlaps, from then on; one that was still valid from before it is refused at once. Where this raises
    `UnavailableError`, that is not certain, and it must be tried again.

    A key that was replaced makes no other: or it could not be got rid of while it overlaps. Nor does it
    get the answer of an earlier try, once it is refused: an Idempotency-Key is no secret.
    Raises `NotFoundError`; `ForbiddenError` for such a key and for users; `ConflictError`,
    `KeyReusedError`, `InProgressError`.
    """
    if sender:
        require_tenant(world, sender)
    if before := made_before(world, once):
        # The earlier try may not have come this far.
        world.ledger.forget_key(token)
        return Changed(before, replayed=True)
    return Changed(_rotate(world, token, sender, overlap_seconds, once))


def _rotate(
    world: World, token: str, sender: Tenant | None, overlap_seconds: int, once: Once | None
) -> Application:
    version = sender.key_version if sender else get_application(world, token).key_version
    until = rfc3339(world.clock.now_ms() + overlap_seconds * 1000) if overlap_seconds else None
    rotated = world.store.rotate_key(token, version, until, once)
    # Also where another request was faster: that one may not have come this far.
    world.ledger.forget_key(token)
    if rotated is None:
        get_application(world, token)
        if sender:
            raise ForbiddenError("only the newest key makes the next one")
        raise ConflictError("another request was replacing the key")
    return rotated
