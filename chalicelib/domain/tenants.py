"""Who makes a request."""

import msgspec


class Tenant(msgspec.Struct, frozen=True):
    """An application whose secret key fits, in the version that the key has."""

    token: str
    key_version: int
