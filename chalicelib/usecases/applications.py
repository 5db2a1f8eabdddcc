"""Applications: create, read, rename, delete. They are rare and go straight to MySQL."""

import secrets

from chalicelib.domain.errors import NotFoundError
from chalicelib.domain.numbering import Counter, Page
from chalicelib.domain.records import Application
from chalicelib.domain.tenants import Tenant
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.current import look_at
from chalicelib.usecases.ports import World

# 120 random bits: a token is public, but nobody should meet another's by guessing.
_TOKEN_BYTES = 15


def create_application(world: World, name: str) -> Application:
    """A new tenant with a token of its own."""
    token = secrets.token_hex(_TOKEN_BYTES)
    return world.store.create_application(token, name, rfc3339(world.clock.now_ms()))


def require_tenant(world: World, tenant: Tenant) -> None:
    """Raises `UnauthenticatedError` or `NotFoundError` unless the tenant's key is still valid."""
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


def rename_application(world: World, token: str, name: str) -> Application:
    """Raises `NotFoundError`."""
    return _found(world.store.rename_application(token, name))


def delete_application(world: World, token: str) -> None:
    """Delete it with everything in it: refused from now on, removed by and by. `NotFoundError`."""
    deleted = world.store.delete_application(token, rfc3339(world.clock.now_ms()))
    # Also where it was deleted before: the earlier request may not have come this far.
    world.ledger.forget_application(token)
    if not deleted:
        raise NotFoundError("there is no such application")


def _found(application: Application | None) -> Application:
    if application is None:
        raise NotFoundError("there is no such application")
    return application
