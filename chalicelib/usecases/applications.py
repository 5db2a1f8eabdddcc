"""Applications and their keys. Changes of them are rare and go straight to MySQL."""

import secrets

import msgspec

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.errors import ConflictError, ForbiddenError, NotFoundError
from chalicelib.domain.idempotency import ADMIN, IdempotencyKey, IdempotentWrite, WriteResult
from chalicelib.domain.leases import Counter
from chalicelib.domain.metrics import IDEMPOTENT_REPLAYS
from chalicelib.domain.models import Application, AppToken
from chalicelib.domain.paging import ApplicationCursor, Page
from chalicelib.domain.rate_limits import Remaining, Result
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.read import NOTHING, read_pending

# 120 random bits. A token is public, but guessing must not find one.
_TOKEN_BYTES = 15


def create_application(
    ports: Ports, name: str, idempotency: IdempotencyKey | None = None
) -> WriteResult[Application]:
    """A new application with a token of its own. Raises `KeyReusedError`, `InProgressError`."""
    write = _write(ports, None, idempotency)
    if replay := _find_replay(ports, write):
        return WriteResult(replay, replayed=True)
    token, now = AppToken(secrets.token_hex(_TOKEN_BYTES)), rfc3339(ports.clock.now_ms())
    created = ports.store.applications.create_application(token, name, now, write)
    return WriteResult(created, replayed=False)


def list_applications(
    ports: Ports, before: ApplicationCursor | None, limit: int
) -> Result[Page[Application, ApplicationCursor]]:
    """A page of all applications, newest first: those behind `before`."""
    stored = ports.store.applications.list_applications(before, limit + 1)
    shown = tuple(stored[:limit])
    more = len(stored) > limit
    return Result(
        Page(shown, ApplicationCursor(shown[-1].created_at, shown[-1].token) if more else None)
    )


def get_application(ports: Ports, token: AppToken, principal: Tenant | None) -> Result[Application]:
    """One application. `principal` is None for the admin.

    Raises `NotFoundError`, `UnauthenticatedError`, `ForbiddenError`, `RateLimitedError`.
    """
    remaining = require_tenant(ports, principal)
    with remaining_on_errors(remaining):
        return Result(_find(ports, token), remaining)


def rename_application(
    ports: Ports,
    token: AppToken,
    name: str,
    principal: Tenant | None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Application]:
    """The renamed application. Raises as `get_application`, and `KeyReusedError`, `InProgressError`."""
    remaining, write = require_tenant(ports, principal), _write(ports, principal, idempotency)
    with remaining_on_errors(remaining):
        if replay := _find_replay(ports, write):
            return WriteResult(replay, remaining, replayed=True)
        renamed = ports.store.applications.rename_application(token, name, write)
        return WriteResult(_existing(renamed), remaining, replayed=False)


def delete_application(
    ports: Ports,
    token: AppToken,
    principal: Tenant | None,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[None]:
    """Delete an application with everything in it.

    All its requests are refused from now on; `purge_deleted` removes its rows later. A replay does not
    check the principal, because its key is not valid any more. Raises as `rename_application`.
    """
    write = _write(ports, principal, idempotency)
    replayed = _stored_response(ports, write) is not None
    remaining = () if replayed else require_tenant(ports, principal)
    with remaining_on_errors(remaining):
        deleted = replayed or ports.store.applications.delete_application(
            token, rfc3339(ports.clock.now_ms()), write
        )
        # An earlier request may have deleted the application and failed before this step.
        ports.sequencer.block_application(token)
        if not deleted:
            raise NotFoundError("there is no such application")
    return WriteResult(None, remaining, replayed=replayed)


def rotate_key(
    ports: Ports,
    token: AppToken,
    principal: Tenant | None,
    overlap_seconds: int,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Application]:
    """The application with the next version of its secret key. `principal` is None for the admin.

    When this returns, every request that starts later is refused with the replaced key, or, with an
    overlap, as soon as that ends. A key that was replaced earlier and still valid ends at once. If this
    raises `UnavailableError`, nothing of that is certain, and the request must be sent again.

    A replaced key cannot create another one; otherwise a leaked key could renew itself during the overlap.
    Once refused, it cannot replay an earlier response either, because an Idempotency-Key is not a secret.
    Raises `NotFoundError`, `ConflictError`, `KeyReusedError`, `InProgressError`; `ForbiddenError` for a
    replaced key and for users.
    """
    remaining, write = require_tenant(ports, principal), _write(ports, principal, idempotency)
    with remaining_on_errors(remaining):
        if replay := _find_replay(ports, write):
            # The earlier request may have failed before this step.
            ports.sequencer.invalidate_key_cache(token)
            return WriteResult(replay, remaining, replayed=True)
        rotated = _rotate(ports, token, principal, overlap_seconds, write)
        return WriteResult(rotated, remaining, replayed=False)


def require_tenant(ports: Ports, principal: Tenant | None) -> tuple[Remaining, ...]:
    """What is left of the rate limits. The admin passes, and has none.

    Raises `UnauthenticatedError` or `NotFoundError` if the tenant's key is not valid any more, and
    `ForbiddenError` for a user.
    """
    if principal is None:
        return ()
    principal.require_key()
    return read_pending(ports, principal, Counter(principal.token), NOTHING).remaining


def _rotate(
    ports: Ports,
    token: AppToken,
    principal: Tenant | None,
    overlap_seconds: int,
    write: IdempotentWrite | None,
) -> Application:
    version = principal.key_version if principal else _find(ports, token).key_version
    until = rfc3339(ports.clock.now_ms() + overlap_seconds * 1000) if overlap_seconds else None
    rotated = ports.store.applications.rotate_key(token, version, until, write)
    # If another request was faster, it may have failed before this step.
    ports.sequencer.invalidate_key_cache(token)
    if rotated is None:
        _find(ports, token)
        if principal:
            raise ForbiddenError("only the newest key can create the next one")
        raise ConflictError("another request replaced the key at the same time")
    return rotated


def _write(
    ports: Ports, principal: Tenant | None, idempotency: IdempotencyKey | None
) -> IdempotentWrite | None:
    scope = principal.token if principal else ADMIN
    return IdempotentWrite(scope, idempotency, ports.clock.now_ms()) if idempotency else None


def _find_replay(ports: Ports, write: IdempotentWrite | None) -> Application | None:
    """The application as an earlier request with the same key made it."""
    stored_response = _stored_response(ports, write)
    return msgspec.json.decode(stored_response, type=Application) if stored_response else None


def _stored_response(ports: Ports, write: IdempotentWrite | None) -> bytes | None:
    stored_response = ports.store.applications.find_response(write) if write else None
    if stored_response is not None:
        ports.metrics.count(IDEMPOTENT_REPLAYS)
    return stored_response


def _find(ports: Ports, token: AppToken) -> Application:
    return _existing(ports.store.applications.get_application(token))


def _existing(application: Application | None) -> Application:
    if application is None:
        raise NotFoundError("there is no such application")
    return application
