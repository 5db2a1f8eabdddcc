"""The connection to OpenSearch. Its errors become `UnavailableError` here.

Every wait has a limit. Nothing is retried here: the queue or the client retries.
"""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth
from opensearchpy.exceptions import ConnectionError as NoConnectionError
from opensearchpy.exceptions import OpenSearchException, TransportError

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import UnavailableError

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
# For requests, whose client waits, instead of the two above.
REQUEST_TIMEOUT = urllib3.Timeout(connect=CONNECT_SECONDS, read=4.0)

_AWS_HOST = re.compile(r".+\.(?P<region>[a-z0-9-]+)\.es\.amazonaws\.com(\.cn)?")

Response = dict[str, Any]


class Connection:
    """Opened by the first call and reused by later calls of the same process."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._circuit = Circuit("OpenSearch", _is_unreachable)

    @cached_property
    def client(self) -> OpenSearch:
        secure = self._url.scheme == "https"
        user, password = self._url.username, self._url.password
        return OpenSearch(
            hosts=[
                {
                    "host": self._url.hostname,
                    "port": self._url.port or (443 if secure else 9200),
                    "url_prefix": self._url.path.strip("/"),
                }
            ],
            http_auth=(unquote(user), unquote(password or "")) if user else self._signer(),
            use_ssl=secure,
            verify_certs=secure,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            max_retries=0,
        )

    def _signer(self) -> Urllib3AWSV4SignerAuth | None:
        """Signs requests to a domain of Amazon OpenSearch Service with the role of the function."""
        host = _AWS_HOST.fullmatch(self._url.hostname or "")
        if host is None:
            return None
        from botocore.credentials import EnvProvider

        return Urllib3AWSV4SignerAuth(EnvProvider().load(), host["region"], "es")

    def call(self, request: Callable[[OpenSearch], Response]) -> Response:
        """The response to one request. Raises `UnavailableError` for every failure: a retry may succeed."""
        try:
            with self._circuit.calling():
                return request(self.client)
        except TransportError as error:
            raise UnavailableError(f"OpenSearch: {error.status_code} {error.error}") from error
        except OpenSearchException as error:
            raise UnavailableError(f"OpenSearch: {error}") from error


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, NoConnectionError)  # time-outs included
