"""SQS: handing records to the queues of their types, and what workers do with records that fail."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import PoisonError, UnavailableError
from chalicelib.domain.limits import MAX_RECORD_BYTES
from chalicelib.domain.records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
    halves,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_ENTRIES_A_CALL = 10
_REASON_MAX_CHARS = 1_000

_QUEUE_OF: dict[type[Any], str] = {
    ChatsRecord: "chats",
    MessagesRecord: "messages",
    DocumentsRecord: "search",
    PurgeRecord: "search",
}


def sqs_client() -> "SQSClient":
    """A client whose every wait has a limit. Sending twice is harmless: records may come twice anyway."""
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"total_max_attempts": 2, "mode": "standard"},
        tcp_keepalive=True,
    )
    client: SQSClient = boto3.client("sqs", config=config)
    return client


class SqsQueues:
    """The queues by their short names (`chats`, `messages`, `search`) and URLs."""

    def __init__(self, urls: Mapping[str, str], dead_urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._dead_urls = dead_urls
        self._client: SQSClient | None = None
        self._circuit = Circuit("SQS", _unanswered)

    @property
    def client(self) -> "SQSClient":
        if self._client is None:
            self._client = sqs_client()
        return self._client

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
        with self._calling():
            if len(entries) == 1:
                self.client.send_message(
                    QueueUrl=url,
                    MessageBody=entries[0]["MessageBody"],
                    MessageGroupId=entries[0]["MessageGroupId"],
                )
                return
            answer = self.client.send_message_batch(
                QueueUrl=url,
                Entries=[{"Id": str(i), **entry} for i, entry in enumerate(entries)],  # type: ignore[typeddict-item]
            )
        if answer.get("Failed"):
            raise UnavailableError(f"SQS refused {answer['Failed'][0].get('Message', 'a record')}")

    def bury(self, queue: str, body: str, reason: str) -> None:
        """Put a record that can never succeed into the dead-letter queue, with the reason."""
        text = "".join(c if c.isprintable() else " " for c in reason)[:_REASON_MAX_CHARS]
        with self._calling():
            self.client.send_message(
                QueueUrl=self._dead_urls[queue],
                MessageBody=body,
                MessageAttributes={
                    "reason": {"DataType": "String", "StringValue": text or "unknown"}
                },
            )

    def dead_letters(self) -> dict[str, int]:
        """About how many records are in each dead-letter queue."""
        return {queue: self._depth(url) for queue, url in self._dead_urls.items()}

    def _depth(self, url: str) -> int:
        try:
            found = self.client.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(f"SQS: {error}") from error
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        """Say when failed records come again. Without it they come after the queue's own time-out."""
        entries = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for i, (receipt, seconds) in enumerate(seconds_by_receipt.items())
        ]
        with self._calling():
            for start in range(0, len(entries), _ENTRIES_A_CALL):
                self.client.change_message_visibility_batch(
                    QueueUrl=self._urls[queue],
                    Entries=entries[start : start + _ENTRIES_A_CALL],  # type: ignore[arg-type]
                )

    def ping(self) -> None:
        with self._calling():
            self.client.get_queue_attributes(QueueUrl=self._urls["messages"])

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            with self._circuit.calling():
                yield
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(f"SQS: {error}") from error


def _unanswered(error: BaseException) -> bool:
    return isinstance(error, BotoConnectionError | HTTPClientError)


def queue_of(record: AnyRecord) -> str:
    """The short name of the queue that a record goes to."""
    return _QUEUE_OF[type(record)]


def split_to_fit(record: AnyRecord) -> Iterator[tuple[AnyRecord, bytes]]:
    """The record, or, where it is larger than a queue takes, the fewest halves of it that fit."""
    body = _encode(record)
    if len(body) <= MAX_RECORD_BYTES:
        yield record, body
        return
    parts = halves(record)
    if len(parts) == 1:
        raise PoisonError("a single state is larger than a queue takes")
    for part in parts:
        yield from split_to_fit(part)


def _encode(record: AnyRecord) -> bytes:
    """JSON with only those characters that SQS takes: it refuses U+FFFE and U+FFFF, which JSON does not.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    body = msgspec.json.encode(record)
    return body.replace("\ufffe".encode(), b"\\ufffe").replace("\uffff".encode(), b"\\uffff")


def _group(record: AnyRecord) -> str:
    """Fair queues: an application that floods a queue holds up its own records, not those of others."""
    return record.documents[0].token if isinstance(record, DocumentsRecord) else record.token


def _calls(entries: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """Entries in groups that one call may send: ten at most, and no more bytes than one record may have."""
    call: list[dict[str, str]] = []
    size = 0
    for entry in entries:
        length = len(entry["MessageBody"].encode())
        if call and (len(call) == _ENTRIES_A_CALL or size + length > MAX_RECORD_BYTES):
            yield call
            call, size = [], 0
        call.append(entry)
        size += length
    if call:
        yield call
