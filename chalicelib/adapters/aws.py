"""Signed calls to a service of AWS that takes JSON, on a connection that is kept.

botocore's client does the same with five times the CPU time, most of what accepting a message takes, and
half of it is loaded before the first call (docs/performance.md). The signature is held to botocore's by
`tests/unit/test_aws.py`. A function has its credentials and its region in the environment.
"""

import hashlib
import hmac
import socket
import ssl
import threading
import time
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec

from chalicelib.settings import AwsSettings

CONNECT_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 3.0
ATTEMPTS = 2
_REFUSED, _FAILED = 300, 500


class AwsError(Exception):
    """The service did not do what it was asked for; `code` is its own name of the reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class NoAnswerError(AwsError):
    """Nothing came back in time, or the service itself failed."""


class Service:
    """One service, by the name that signs (`sqs`), the prefix of its actions and its version of JSON.

    It is where `AWS_ENDPOINT_URL` says, or where AWS has it in the function's region. A call is tried
    twice, so an action must bear that. Threads may share it: each has a connection of its own.
    """

    def __init__(self, name: str, actions: str, json: str) -> None:
        self._name = name
        self._actions = actions
        self._headers = {"Content-Type": f"application/x-amz-json-{json}"}
        self._local = threading.local()

    def call(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer's fields. Raises `AwsError`."""
        body = msgspec.json.encode(request)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(action, body)
            except NoAnswerError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Let go of this thread's connection."""
        link = self._local.__dict__.pop("link", None)
        if link is not None:
            link.close()

    def _once(self, action: str, body: bytes) -> dict[str, Any]:
        try:
            target = {"X-Amz-Target": self._actions + action}
            link = self._link()
            status, text = link.post(self._headers | target, body)
            if link.ended:
                self.close()
            if status < _REFUSED:
                return msgspec.json.decode(text or b"{}", type=dict[str, Any])
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            self.close()
            raise NoAnswerError(type(error).__name__, str(error)) from error
        raise _error(status, text)

    def _link(self) -> "_Link":
        link: _Link | None = self._local.__dict__.get("link")
        if link is None:
            link = self._local.link = _Link(self._name)
        return link


class Signer:
    """Signs a POST to the root of a service.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def __init__(
        self, service: str, region: str, access_key: str, secret_key: str, token: str
    ) -> None:
        self._place = f"{region}/{service}/aws4_request"
        self._access_key = access_key
        self._token = {"X-Amz-Security-Token": token} if token else {}

        @lru_cache(maxsize=1)
        def key(date: str) -> bytes:
            value = b"AWS4" + secret_key.encode()
            for part in (date, region, service, "aws4_request"):
                value = _hmac(value, part)
            return value

        self._key = key

    def signed(self, headers: dict[str, str], body: bytes, at: str) -> dict[str, str]:
        """The headers, the `Host` among them, and what proves them. `at` is like `20261125T080000Z`."""
        headers = {**headers, **self._token, "X-Amz-Date": at}
        sorted_ = sorted((name.lower(), value) for name, value in headers.items())
        names, lines = ";".join(n for n, _ in sorted_), "".join(f"{n}:{v}\n" for n, v in sorted_)
        asked = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{at[:8]}/{self._place}"
        digest = hashlib.sha256(asked.encode()).hexdigest()
        signature = _hmac(self._key(at[:8]), f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class _Link:
    """A connection to a service, and what signs for it."""

    def __init__(self, service: str) -> None:
        aws = AwsSettings.from_env()
        if not (aws.region and aws.access_key and aws.secret_key):
            raise AwsError("NoCredentials", "AWS_DEFAULT_REGION, or a key, is not set")
        domain = "amazonaws.com.cn" if aws.region.startswith("cn-") else "amazonaws.com"
        url = aws.endpoint or f"https://{service}.{aws.region}.{domain}"
        self._host = urlsplit(url).netloc
        self._signer = Signer(service, aws.region, aws.access_key, aws.secret_key, aws.token)
        self._socket = _connect(url)
        self.ended = False

    def post(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Head and body go as one, unlike those of `HTTPConnection`."""
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = self._signer.signed({**headers, "Host": self._host}, body, at)
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        head = f"POST / HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        response = HTTPResponse(self._socket, method="POST")
        response.begin()
        text = response.read()
        self.ended = response.will_close
        return response.status, text

    def close(self) -> None:
        self._socket.close()


def _connect(url: str) -> socket.socket:
    place = urlsplit(url)
    secure, host = place.scheme == "https", place.hostname or ""
    port = place.port or (443 if secure else 80)
    link = socket.create_connection((host, port), CONNECT_TIMEOUT_SECONDS)
    if secure:
        link = ssl.create_default_context().wrap_socket(link, server_hostname=host)
    link.settimeout(READ_TIMEOUT_SECONDS)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return link


def _error(status: int, text: bytes) -> AwsError:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html"""
    try:
        told = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        told = {}
    code = str(told.get("__type", status)).rpartition("#")[2]
    kind = NoAnswerError if status >= _FAILED else AwsError
    return kind(code, str(told.get("message") or told.get("Message") or ""))
