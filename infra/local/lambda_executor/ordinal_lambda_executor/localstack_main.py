"""LocalStack's own entry point, but listening on this machine only.

LocalStack takes an address in GATEWAY_LISTEN, uses its port, and listens on every interface. On a
shared network that would offer everybody a service that runs code.
"""

from __future__ import annotations

import functools

from localstack.runtime.main import main
from twisted.internet import endpoints  # type: ignore[import-not-found]  # LocalStack's


def listen_locally() -> None:
    """Give Twisted's TCP endpoint the interface that LocalStack leaves out."""
    local = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
    endpoints.TCP4ServerEndpoint = local


if __name__ == "__main__":
    listen_locally()
    main()
