"""Applications: create, read, rename, delete. They are rare and go straight to MySQL."""

import secrets

import msgspec

from chalicelib.domain.errors import NotFoundError
from chalicelib.domain.metrics import REPLAYS
from chalicelib.domain.numbering import Counter, Once, Page
from chalicelib.domain.records import Application
from chalicelib.domain.retries import Changed
from chalicelib.domain.tenants import Tenant
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.current import look_at
from chalicelib.usecases.ports import World

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
