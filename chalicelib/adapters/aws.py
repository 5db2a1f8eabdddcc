"""SQS and Secrets Manager: signed calls that carry JSON, on connections that stay open.

Why not a library: `docs/decisions/0007-own-signer-and-connection.md`. `tests/unit/test_aws.py` compares the
signature with botocore's. The environment of a function has its credentials and its region.
"""

import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from http.client import HTTPException, HTTPResponse
from itertools import batched
from typing import Any
from urllib.parse import urlsplit

import msgspec

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import OutageError, PoisonError, UnavailableError
from chalicelib.domain.limits import MAX_RECORD_BYTES
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
    split_in_half,
)
from chalicelib.settings import AwsSettings

CONNECT_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 3.0
MAX_ATTEMPTS = 2
_FIRST_ERROR, _FIRST_SERVER_ERROR = 300, 500


class AwsError(Exception):
    """The service refused the request. `code` is the service's name of the reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class NoResponseError(AwsError):
    """There was no response in time, or the service itself failed. A retry may succeed."""


class Service:
    """One AWS service: its name in signatures (`sqs`), the prefix of its actions, and its version of JSON.

    Its address is `AWS_ENDPOINT_URL`, or the service's endpoint in the function's region. A call may be sent
    twice, so an action must tolerate that. Threads may share a service: each thread has its own connection.
    """

    def __init__(self, name: str, actions: str, json: str) -> None:
        self._name = name
        self._actions = actions
        self._headers = {"Content-Type": f"application/x-amz-json-{json}"}
        self._local = threading.local()

    def call(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """The fields of the response. Raises `AwsError`, and `NoResponseError` after two attempts."""
        body = msgspec.json.encode(request)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._call_once(action, body)
            except NoResponseError:
                if attempt == MAX_ATTEMPTS:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Close this thread's connection."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _call_once(self, action: str, body: bytes) -> dict[str, Any]:
        try:
            target = {"X-Amz-Target": self._actions + action}
            connection = self._connection()
            status, text = connection.post(self._headers | target, body)
            if connection.will_close:
                self.close()
            if status < _FIRST_ERROR:
                return msgspec.json.decode(text or b"{}", type=dict[str, Any])
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            self.close()
            raise NoResponseError(type(error).__name__, str(error)) from error
        raise _error(status, text)

    def _connection(self) -> "_Connection":
        connection: _Connection | None = self._local.__dict__.get("connection")
        if connection is None:
            connection = self._local.connection = _Connection(self._name)
        return connection


class Signer:
    """Signs a POST to the root of a service.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def __init__(
        self, service: str, region: str, access_key: str, secret_key: str, token: str
    ) -> None:
        self._scope = f"{region}/{service}/aws4_request"
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
        """The headers, which include `Host`, with their signature. `at` is a time like `20261125T080000Z`."""
        headers = {**headers, **self._token, "X-Amz-Date": at}
        pairs = sorted((name.lower(), value) for name, value in headers.items())
        names, lines = ";".join(n for n, _ in pairs), "".join(f"{n}:{v}\n" for n, v in pairs)
        canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{at[:8]}/{self._scope}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = _hmac(self._key(at[:8]), f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class _Connection:
    """A connection to a service, with the signer of its requests."""

    def __init__(self, service: str) -> None:
        aws = AwsSettings.from_env()
        if not (aws.region and aws.access_key and aws.secret_key):
            raise AwsError(
                "NoCredentials",
                "AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set",
            )
        domain = "amazonaws.com.cn" if aws.region.startswith("cn-") else "amazonaws.com"
        url = aws.endpoint or f"https://{service}.{aws.region}.{domain}"
        self._host = urlsplit(url).netloc
        self._signer = Signer(service, aws.region, aws.access_key, aws.secret_key, aws.token)
        self._socket = _connect(url)
        self.will_close = False

    def post(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the response. Sends head and body in one write; `http.client` needs two."""
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = self._signer.signed({**headers, "Host": self._host}, body, at)
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        head = f"POST / HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        response = HTTPResponse(self._socket, method="POST")
        response.begin()
        text = response.read()
        self.will_close = response.will_close
        return response.status, text

    def close(self) -> None:
        self._socket.close()


def _connect(url: str) -> socket.socket:
    address = urlsplit(url)
    secure, host = address.scheme == "https", address.hostname or ""
    port = address.port or (443 if secure else 80)
    connected = socket.create_connection((host, port), CONNECT_TIMEOUT_SECONDS)
    if secure:
        connected = ssl.create_default_context().wrap_socket(connected, server_hostname=host)
    connected.settimeout(READ_TIMEOUT_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connected


def _error(status: int, text: bytes) -> AwsError:
    """The error of a response.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
    """
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        fields = {}
    code = str(fields.get("__type", status)).rpartition("#")[2]
    kind = NoResponseError if status >= _FIRST_SERVER_ERROR else AwsError
    return kind(code, str(fields.get("message") or fields.get("Message") or ""))


# What SQS takes in one call: entries, and the bytes of all bodies and attributes together.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
MAX_ENTRIES_PER_CALL = 10
MAX_CALL_BYTES = 1_048_576
_MAX_REASON_CHARS = 1_000
# The name and the type of the attribute `reason` count as well.
_REASON_OVERHEAD_BYTES = len("reasonString")
# Errors that a record causes. Every other error means that SQS refuses everybody, or does not respond.
_OF_THE_RECORD = {
    "BatchRequestTooLong",
    "InvalidMessageContents",
    "InvalidParameterValue",
    "InvalidParameterValueException",
}

_QUEUE_OF: dict[type[Any], str] = {
    ChatsRecord: "chats",
    MessagesRecord: "messages",
    DocumentsRecord: "search",
    PurgeRecord: "search",
}


class SqsQueues:
    """The queues, by their short names (`chats`, `messages`, `search`, `inbox`), and their URLs.

    A record may be sent twice. That is harmless, because SQS may deliver any record twice.
    """

    def __init__(self, urls: Mapping[str, str], dead_urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._dead_urls = dead_urls
        self._service = Service("sqs", "AmazonSQS.", json="1.0")
        self._circuit = Circuit("SQS", _is_unreachable)

    def send(self, records: Iterable[AnyRecord]) -> None:
        by_queue: dict[str, list[dict[str, str]]] = {}
        for record in records:
            for part, body in split_to_fit(record):
                entry = {"MessageBody": body.decode(), "MessageGroupId": _group(part)}
                by_queue.setdefault(queue_of(part), []).append(entry)
        for queue, entries in by_queue.items():
            for call in _calls(entries):
                self._send_call(self._urls[queue], call)

    def _send_call(self, url: str, entries: list[dict[str, str]]) -> None:
        if len(entries) == 1:
            self._call("SendMessage", url, **entries[0])
            return
        numbered = [{"Id": str(i), **entry} for i, entry in enumerate(entries)]
        response = self._call("SendMessageBatch", url, Entries=numbered)
        if failed := response.get("Failed"):
            is_of_a_record = any(entry.get("SenderFault") for entry in failed)
            kind = UnavailableError if is_of_a_record else OutageError
            raise kind(f"SQS refused {failed[0].get('Message', 'a record')}")

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        """Send a record that can never succeed to the dead-letter queue, with the reason as an attribute.

        If the record leaves no room for the whole reason, the reason is cut off.
        """
        body = _escape(body.encode()).decode()
        room = MAX_CALL_BYTES - len(body.encode()) - _REASON_OVERHEAD_BYTES
        text = "".join(c if c.isprintable() else " " for c in reason)[:_MAX_REASON_CHARS]
        text = (text or "unknown").encode()[: max(0, room)].decode(errors="ignore")
        fields: dict[str, Any] = {}
        if text:
            reason_attribute = {"DataType": "String", "StringValue": text}
            fields["MessageAttributes"] = {"reason": reason_attribute}
        self._call("SendMessage", self._dead_urls[queue], MessageBody=body, **fields)

    def dead_letters(self) -> dict[str, int]:
        """About how many records are in each dead-letter queue."""
        return {queue: self._depth(url) for queue, url in self._dead_urls.items()}

    def _depth(self, url: str) -> int:
        name = "ApproximateNumberOfMessages"
        response = self._call("GetQueueAttributes", url, AttributeNames=[name])
        return int(response["Attributes"][name])

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        """Set when SQS delivers failed records again, instead of after the queue's visibility time-out."""
        entries = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for i, (receipt, seconds) in enumerate(seconds_by_receipt.items())
        ]
        for batch in batched(entries, MAX_ENTRIES_PER_CALL):
            self._call("ChangeMessageVisibilityBatch", self._urls[queue], Entries=batch)

    def ping(self) -> None:
        self._call("GetQueueAttributes", self._urls["messages"])

    def close(self) -> None:
        """Close the connection."""
        self._service.close()

    def _call(self, action: str, url: str, **fields: Any) -> dict[str, Any]:
        try:
            with self._circuit.calling():
                return self._service.call(action, {"QueueUrl": url, **fields})
        except AwsError as error:
            kind = UnavailableError if error.code in _OF_THE_RECORD else OutageError
            raise kind(f"SQS: {error}") from error


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, NoResponseError)


def queue_of(record: AnyRecord) -> str:
    """The short name of the queue that a record goes to."""
    return _QUEUE_OF[type(record)]


def split_to_fit(record: AnyRecord) -> Iterator[tuple[AnyRecord, bytes]]:
    """The record with its body. If it is too large for a queue, it is halved until each part fits."""
    body = _encode(record)
    if len(body) <= MAX_RECORD_BYTES:
        yield record, body
        return
    parts = split_in_half(record)
    if len(parts) == 1:
        raise PoisonError("a single version is larger than SQS accepts")
    for part in parts:
        yield from split_to_fit(part)


def _encode(record: AnyRecord) -> bytes:
    """JSON with only the characters that SQS accepts. SQS refuses U+FFFE and U+FFFF; JSON allows them.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    return _escape(msgspec.json.encode(record))


def _escape(body: bytes) -> bytes:
    return body.replace("\ufffe".encode(), b"\\ufffe").replace("\uffff".encode(), b"\\uffff")


def _group(record: AnyRecord) -> str:
    """For fair queues: an application that floods a queue delays its own records, not those of others."""
    return record.documents[0].token if isinstance(record, DocumentsRecord) else record.token


def _calls(entries: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """Entries in groups for one call each: at most ten, with no more bytes than one record may have."""
    call: list[dict[str, str]] = []
    size = 0
    for entry in entries:
        length = len(entry["MessageBody"].encode())
        if call and (len(call) == MAX_ENTRIES_PER_CALL or size + length > MAX_RECORD_BYTES):
            yield call
            call, size = [], 0
        call.append(entry)
        size += length
    if call:
        yield call


_SECRETS_MANAGER = Service("secretsmanager", "secretsmanager.", json="1.1")


@cache
def secret(arn: str) -> str:
    """The text of a secret. Raises `OutageError`; the next call then reads it again."""
    try:
        return str(_SECRETS_MANAGER.call("GetSecretValue", {"SecretId": arn})["SecretString"])
    except AwsError as error:
        raise OutageError(f"Secrets Manager: {error}") from error
