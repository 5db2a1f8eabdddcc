"""Applications and their keys. They are rare and go straight to MySQL."""

import secrets

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import ConflictError, ForbiddenError, NotFoundError
from chalicelib.domain.idempotency import IdempotentWrite, WriteResult
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import REPLAYS
from chalicelib.domain.models import Application
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import read_pending

# Applications: create, read, rename, delete. They are rare and go straight to MySQL.

# 120 random bits: a token is public, but nobody should meet another's by guessing.
_TOKEN_BYTES = 15


def create_application(
    ports: Ports, name: str, idempotency: IdempotentWrite | None = None
) -> WriteResult[Application]:
    """A new tenant with a token of its own. Raises `KeyReusedError`, `InProgressError`."""
    if before := find_replay(ports, idempotency):
        return WriteResult(before, replayed=True)
    token, now = secrets.token_hex(_TOKEN_BYTES), rfc3339(ports.clock.now_ms())
    return WriteResult(ports.store.applications.create_application(token, name, now, idempotency))


def require_tenant(ports: Ports, tenant: Tenant) -> None:
    """Raises `UnauthenticatedError` or `NotFoundError` unless the tenant's key is still valid.

    Users are refused: `ForbiddenError`.
    """
    tenant.require_key()
    read_pending(ports, tenant, Counter(tenant.token), PageRequest(limit=0))


def get_application(ports: Ports, token: str) -> Application:
    """Raises `NotFoundError`."""
    return _found(ports.store.applications.get_application(token))


def list_applications(
    ports: Ports, before: str | None, limit: int
) -> tuple[list[Application], str | None]:
    """Newest first: a page, and the token from which the next one goes on."""
    found = ports.store.applications.list_applications(before, limit + 1)
    return found[:limit], found[limit - 1].token if len(found) > limit else None


def rename_application(
    ports: Ports, token: str, name: str, idempotency: IdempotentWrite | None = None
) -> WriteResult[Application]:
    """Raises `NotFoundError`, `KeyReusedError`, `InProgressError`."""
    if before := find_replay(ports, idempotency):
        return WriteResult(before, replayed=True)
    return WriteResult(
        _found(ports.store.applications.rename_application(token, name, idempotency))
    )


def delete_application(
    ports: Ports,
    token: str,
    sender: Tenant | None = None,
    idempotency: IdempotentWrite | None = None,
) -> bool:
    """Delete it with everything in it: refused from now on, removed by and by.

    True where an earlier try of the request has done it: then the `sender` is not valid any more.
    Raises `NotFoundError`, `UnauthenticatedError`, `KeyReusedError`, `InProgressError`.
    """
    replayed = _kept(ports, idempotency) is not None
    if sender and not replayed:
        require_tenant(ports, sender)
    deleted = replayed or ports.store.applications.delete_application(
        token, rfc3339(ports.clock.now_ms()), idempotency
    )
    # Also where it was deleted before: the earlier request may not have come this far.
    ports.sequencer.block_application(token)
    if not deleted:
        raise NotFoundError("there is no such application")
    return replayed


def find_replay(ports: Ports, idempotency: IdempotentWrite | None) -> Application | None:
    """What an earlier try of the request made."""
    kept = _kept(ports, idempotency)
    return msgspec.json.decode(kept, type=Application) if kept else None


def _kept(ports: Ports, idempotency: IdempotentWrite | None) -> bytes | None:
    kept = ports.store.applications.find_response(idempotency) if idempotency else None
    if kept is not None:
        ports.metrics.count(REPLAYS)
    return kept


def _found(application: Application | None) -> Application:
    if application is None:
        raise NotFoundError("there is no such application")
    return application


# Give an application the next version of its secret key, and end the one before.


def rotate_key(
    ports: Ports,
    token: str,
    sender: Tenant | None,
    overlap_seconds: int,
    idempotency: IdempotentWrite | None = None,
) -> WriteResult[Application]:
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
        require_tenant(ports, sender)
    if before := find_replay(ports, idempotency):
        # The earlier try may not have come this far.
        ports.sequencer.invalidate_key_cache(token)
        return WriteResult(before, replayed=True)
    return WriteResult(_rotate(ports, token, sender, overlap_seconds, idempotency))


def _rotate(
    ports: Ports,
    token: str,
    sender: Tenant | None,
    overlap_seconds: int,
    idempotency: IdempotentWrite | None,
) -> Application:
    version = sender.key_version if sender else get_application(ports, token).key_version
    until = rfc3339(ports.clock.now_ms() + overlap_seconds * 1000) if overlap_seconds else None
    rotated = ports.store.applications.rotate_key(token, version, until, idempotency)
    # Also where another request was faster: that one may not have come this far.
    ports.sequencer.invalidate_key_cache(token)
    if rotated is None:
        get_application(ports, token)
        if sender:
            raise ForbiddenError("only the newest key makes the next one")
        raise ConflictError("another request was replacing the key")
    return rotated
