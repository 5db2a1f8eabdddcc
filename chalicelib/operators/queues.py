"""The queues with their dead-letter queues, and how many records each of them holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.operators.errors import UnknownQueueError, reported_as

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class QueueWithDlq(msgspec.Struct, frozen=True):
    """A queue by its short name, with its URL and the URL of its dead-letter queue."""

    name: str
    url: str
    dlq_url: str


class Depth(msgspec.Struct, frozen=True):
    """How many records a queue holds. SQS calls these numbers approximate."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed


def queues_with_dlqs(
    urls: Mapping[str, str], dlq_urls: Mapping[str, str], only: str | None = None
) -> list[QueueWithDlq]:
    """All queues, or the one with the short name `only`.

    Raises `UnknownQueueError` if a URL is missing or empty.
    """
    queues = []
    for name in urls if only is None else [only]:
        url, dlq_url = urls.get(name, ""), dlq_urls.get(name, "")
        if not url or not dlq_url:
            raise UnknownQueueError(
                f"the URL of the queue {name} or of its dead-letter queue is missing"
            )
        queues.append(QueueWithDlq(name, url, dlq_url))
    return queues


@reported_as("SQS", BotoCoreError, ClientError)
def depth(sqs: "SQSClient", url: str) -> Depth:
    """What a queue holds now. Raises `RequestFailedError`."""
    attributes = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return Depth(
        visible=int(attributes["ApproximateNumberOfMessages"]),
        in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(attributes["ApproximateNumberOfMessagesDelayed"]),
    )


@reported_as("SQS", BotoCoreError, ClientError)
def arn(sqs: "SQSClient", url: str) -> str:
    """The ARN of a queue. Raises `RequestFailedError`."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return attributes["Attributes"]["QueueArn"]
