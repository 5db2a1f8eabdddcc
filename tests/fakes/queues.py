"""The real `SqsQueues` on an SQS in memory, which refuses what SQS refuses by its documentation.

LocalStack and moto accept more. `tests/contract/test_queues.py` runs the same calls on all of them.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.adapters.aws import AwsError, NoResponseError, SqsQueues
from chalicelib.settings import QUEUES

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_REFUSED_CHARACTERS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BYTES = 1_048_576
MAX_ENTRIES = 10
MAX_VISIBILITY_SECONDS = 43_200

Request = dict[str, Any]


class SqsServer:
    """Holds the bodies of each queue by its URL. `is_down` makes every call fail.

    `attributes` has those of every message that was ever sent: (URL, body, attributes).
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self.bodies: dict[str, list[str]] = {url: [] for url in urls}
        self.attributes: list[tuple[str, str, dict[str, str]]] = []
        self.delays: dict[str, int] = {}
        self.is_down = False

    def call(self, action: str, request: Request) -> Request:
        if self.is_down:
            raise NoResponseError("ConnectionRefusedError", "SQS is down")
        return {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ChangeMessageVisibilityBatch": self._change_visibility,
            "GetQueueAttributes": self._count,
        }[action](request)

    def close(self) -> None:
        pass

    def _send(self, request: Request) -> Request:
        if error := _refusal(request):
            raise error
        self._put(request["QueueUrl"], request)
        return {}

    def _send_batch(self, request: Request) -> Request:
        entries = request["Entries"]
        _check_entries(entries)
        if sum(map(_size, entries)) > MAX_BYTES:
            raise AwsError("BatchRequestTooLong", f"more than {MAX_BYTES} bytes")
        failed = []
        for entry in entries:
            if error := _refusal(entry):
                failed.append(
                    {
                        "Id": entry["Id"],
                        "SenderFault": True,
                        "Code": error.code,
                        "Message": str(error),
                    }
                )
            else:
                self._put(request["QueueUrl"], entry)
        return {"Failed": failed} if failed else {}

    def _change_visibility(self, request: Request) -> Request:
        _check_entries(request["Entries"])
        for entry in request["Entries"]:
            if not 0 <= entry["VisibilityTimeout"] <= MAX_VISIBILITY_SECONDS:
                raise AwsError("InvalidParameterValue", "VisibilityTimeout")
            self.delays[entry["ReceiptHandle"]] = entry["VisibilityTimeout"]
        return {}

    def _count(self, request: Request) -> Request:
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(len(self.bodies[request["QueueUrl"]]))
            }
        }

    def _put(self, url: str, message: Request) -> None:
        self.bodies[url].append(message["MessageBody"])
        attributes = {name: text for name, _, text in _attributes(message)}
        self.attributes.append((url, message["MessageBody"], attributes))


def _check_entries(entries: list[Request]) -> None:
    if not entries:
        raise AwsError("EmptyBatchRequest", "no entries")
    if len(entries) > MAX_ENTRIES:
        raise AwsError("TooManyEntriesInBatchRequest", f"more than {MAX_ENTRIES} entries")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise AwsError("BatchEntryIdsNotDistinct", "two entries have the same id")


def _refusal(message: Request) -> AwsError | None:
    values = [text for _, _, text in _attributes(message)]
    for text in (message["MessageBody"], *values):
        if not text:
            return AwsError("InvalidParameterValue", "an empty text")
        if _REFUSED_CHARACTERS.search(text):
            return AwsError("InvalidMessageContents", "a character outside of the allowed set")
    if _size(message) > MAX_BYTES:
        return AwsError("InvalidParameterValue", f"more than {MAX_BYTES} bytes")
    group = message.get("MessageGroupId")
    if group is not None and not _GROUP.fullmatch(group):
        return AwsError("InvalidParameterValue", "MessageGroupId")
    return None


def _size(message: Request) -> int:
    texts = [message["MessageBody"], *(text for parts in _attributes(message) for text in parts)]
    return sum(len(text.encode()) for text in texts)


def _attributes(message: Request) -> list[tuple[str, str, str]]:
    attributes = message.get("MessageAttributes", {})
    return [(name, a["DataType"], a["StringValue"]) for name, a in attributes.items()]


class _NoCircuit:
    @contextmanager
    def calling(self) -> Iterator[None]:
        yield


class FakeQueues(SqsQueues):
    """The `Queues` port. `sent` holds the bodies on each queue, whose URL is its name."""

    def __init__(self) -> None:
        self.urls, self.dead_urls = {q: q for q in QUEUES}, {q: f"{q}-dead" for q in QUEUES}
        super().__init__(self.urls, self.dead_urls)
        self.server = SqsServer([*self.urls.values(), *self.dead_urls.values()])
        service: Any = self.server
        circuit: Any = _NoCircuit()
        self._service, self._circuit = service, circuit
        self.sent = self.server.bodies
        self.delays = self.server.delays

    @property
    def dead(self) -> list[tuple[str, str, str]]:
        """(queue, body, reason) of all dead letters."""
        queue_of = {url: queue for queue, url in self.dead_urls.items()}
        return [
            (queue_of[url], body, attributes.get("reason", ""))
            for url, body, attributes in self.server.attributes
            if url in queue_of
        ]

    @property
    def is_down(self) -> bool:
        """Whether every call fails."""
        return self.server.is_down

    @is_down.setter
    def is_down(self, value: bool) -> None:
        self.server.is_down = value

    def take(self, queue: str) -> list[str]:
        """Take all records off a queue."""
        taken, self.sent[queue] = self.sent[queue], []
        return taken
