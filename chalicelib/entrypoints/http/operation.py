"""An operation of the API as a value: its endpoint acts on it, and the OpenAPI document is made from it."""

from collections.abc import Mapping
from typing import Any, Literal, NewType

import msgspec

from chalicelib.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KeyReusedError,
    NotFoundError,
    OrdinalError,
    RateLimitedError,
    RevisionMismatchError,
    UnauthenticatedError,
    UnavailableError,
)

# The credential that an operation needs. `read` and `write` are the scopes of user tokens; the secret key of
# the application has both.
Access = Literal["open", "admin", "key or admin", "key", "read", "write"]

# A response that is a page for people, not JSON.
Html = NewType("Html", str)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. The types of `body`, `query` and the path are those of the view's parameters.

    `responses` are the types of the bodies by status; the lowest status is the success. `errors` are those
    that do not follow from the other fields. `idempotent` and `if_match` name the headers that it takes,
    `etag` and `location` those that it returns.
    """

    method: str
    path: str
    tag: str
    name: str
    text: str
    access: Access
    responses: Mapping[int, Any]
    errors: tuple[type[OrdinalError], ...]
    path_types: Mapping[str, Any]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    idempotent: bool
    if_match: bool
    etag: bool
    location: bool

    @property
    def success(self) -> int:
        """The status of a response without an error."""
        return min(self.responses)

    def all_errors(self) -> list[type[OrdinalError]]:
        """Every error that the operation can return."""
        errors: list[type[OrdinalError]] = [*self.errors]
        if self.access != "open":
            errors += [UnauthenticatedError, UnavailableError]
        if self.access not in ("open", "admin"):
            errors += [ForbiddenError, RateLimitedError]
        if "{" in self.path and self.access != "open":
            errors.append(NotFoundError)
        errors.append(InvalidError)
        if self.idempotent:
            errors.append(KeyReusedError)
        if self.if_match:
            errors += [RevisionMismatchError, ConflictError]
        return list(dict.fromkeys(errors))
