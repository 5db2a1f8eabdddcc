"""Applications and their keys. They are rare and go straight to MySQL."""

import secrets

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import ConflictError, ForbiddenError, NotFoundError
from chalicelib.domain.idempotency import Changed, Once
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import REPLAYS
from chalicelib.domain.models import Application
from chalicelib.domain.paging import Page
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import World
from chalicelib.usecases.read import look_at

# Applications: create, read, rename, delete. They are rare and go straight to MySQL.

# 120 random bits: a token is public, but nobody should meet another's by guessing.
_TOKEN_BYTES = 15


def create_application(world: World, name: str, once: Once | None = None) -> Changed[Application]:
    """A new tenant with a token of its own. Raises `KeyReusedError`, `InProgressError`."""
    if before := made_before(world, once):
        return Changed(before, replayed=True)
    token, now = secrets.token_hex(_TOKEN_BYTES), rfc3339(world.clock.now_ms())
    return Changed(world.store.create_application(token, name, now, once))


def require_tenant(world: World, tenant: Tenant) -> None:
    """Raises `UnauthenticatedError` or `NotFoundError` unless the tenant's key is still valid.

    Users are refused: `ForbiddenError`.
    """
    tenant.require_key()
    look_at(world, tenant, Counter(tenant.token), Page(limit=0))


def get_application(world: World, token: str) -> Application:
    """Raises `NotFoundError`."""
    return _found(world.store.get_application(token))


def list_applications(
    world: World, before: str | None, limit: int
) -> tuple[list[Application], str | None]:
    """Newest first: a page, and the token from which the next one goes on."""
    found = world.store.list_applications(before, limit + 1)
    return found[:limit], found[limit - 1].token if len(found) > limit else None


def rename_application(
    world: World, token: str, name: str, once: Once | None = None
) -> Changed[Application]:
    """Raises `NotFoundError`, `KeyReusedError`, `InProgressError`."""
    if before := made_before(world, once):
        return Changed(before, replayed=True)
    return Changed(_found(world.store.rename_application(token, name, once)))


def delete_application(
    world: World, token: str, sender: Tenant | None = None, once: Once | None = None
) -> bool:
    """Delete it with everything in it: refused from now on, removed by and by.

    True where an earlier try of the request has done it: then the `sender` is not valid any more.
    Raises `NotFoundError`, `UnauthenticatedError`, `KeyReusedError`, `InProgressError`.
    """
    replayed = _kept(world, once) is not None
    if sender and not replayed:
        require_tenant(world, sender)
    deleted = replayed or world.store.delete_application(token, rfc3339(world.clock.now_ms()), once)
    # Also where it was deleted before: the earlier request may not have come this far.
    world.ledger.forget_application(token)
    if not deleted:
        raise NotFoundError("there is no such application")
    return replayed


def made_before(world: World, once: Once | None) -> Application | None:
    """What an earlier try of the request made."""
    kept = _kept(world, once)
    return msgspec.json.decode(kept, type=Application) if kept else None


def _kept(world: World, once: Once | None) -> bytes | None:
    kept = world.store.kept_answer(once) if once else None
    if kept is not None:
        world.meter.count(REPLAYS)
    return kept


def _found(application: Application | None) -> Application:
    if application is None:
        raise NotFoundError("there is no such application")
    return application


# Give an application the next version of its secret key, and end the one before.


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
