"""What a door takes and answers, in one value: the door acts on it, and OpenAPI is made from it."""

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

# Whose credential opens a door. `read` and `write` are the scopes that a user token needs; the
# application's secret key has both.
Access = Literal["open", "admin", "key or admin", "key", "read", "write"]

# An answer that is a page for people, in place of JSON.
Html = NewType("Html", str)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. The types of `body`, `query` and the path are those of the view.

    `errors` are those that follow from none of the other fields.
    """

    method: str
    path: str
    tag: str
    name: str
    text: str
    access: Access
    answers: Mapping[int, Any]
    errors: tuple[type[OrdinalError], ...]
    path_types: Mapping[str, Any]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    idempotent: bool
    if_match: bool
    etag: bool

    def all_errors(self) -> list[type[OrdinalError]]:
        """Every error that the operation can answer with."""
        found: list[type[OrdinalError]] = [*self.errors]
        if self.access != "open":
            found += [UnauthenticatedError, UnavailableError]
        if self.access not in ("open", "admin"):
            found += [ForbiddenError, RateLimitedError]
        if "{" in self.path and self.access != "open":
            found.append(NotFoundError)
        found.append(InvalidError)
        if self.idempotent:
            found.append(KeyReusedError)
        if self.if_match:
            found += [RevisionMismatchError, ConflictError]
        return list(dict.fromkeys(found))
