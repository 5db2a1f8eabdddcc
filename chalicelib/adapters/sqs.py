"""SQS: sends records to the queues of their types, and handles the records that fail."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import batched
from typing import Any

import msgspec

from chalicelib.adapters.aws import AwsError, NoResponseError, Service
from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import PoisonError, UnavailableError
from chalicelib.domain.limits import MAX_RECORD_BYTES
from chalicelib.domain.queue_records import (
    AnyRecord,
    ChatsRecord,
    DocumentsRecord,
    MessagesRecord,
    PurgeRecord,
    split_in_half,
)

# SQS takes at most ten entries in one call.
MAX_ENTRIES_PER_CALL = 10
_MAX_REASON_CHARS = 1_000

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
        if response.get("Failed"):
            raise UnavailableError(
                f"SQS refused {response['Failed'][0].get('Message', 'a record')}"
            )

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        """Send a record that can never succeed to the dead-letter queue, with the reason as an attribute."""
        text = "".join(c if c.isprintable() else " " for c in reason)[:_MAX_REASON_CHARS]
        attributes = {"reason": {"DataType": "String", "StringValue": text or "unknown"}}
        self._call(
            "SendMessage", self._dead_urls[queue], MessageBody=body, MessageAttributes=attributes
        )

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
            raise UnavailableError(f"SQS: {error}") from error


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
    body = msgspec.json.encode(record)
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
