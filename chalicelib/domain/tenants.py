"""Who makes a request."""

import msgspec

from chalicelib.domain.rates import Allowance


class Tenant(msgspec.Struct, frozen=True):
    """An application whose secret key fits, in the version that the key has.

    `allowance` is what this request may take; without one it is not limited.
    """

    token: str
    key_version: int
    allowance: Allowance | None = None
