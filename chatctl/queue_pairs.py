"""The queues with their dead-letter queues, and how many messages are in each."""

from typing import TYPE_CHECKING

import msgspec

from chalicelib.settings import QUEUES
from chatctl.failures import ChatctlError
from chatctl.places import Places

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class QueuePair(msgspec.Struct, frozen=True):
    """A queue by its short name, and both URLs."""

    name: str
    url: str
    dead_url: str


class Depth(msgspec.Struct, frozen=True):
    """How many messages a queue holds; SQS calls these numbers approximate."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed


def queue_pairs(places: Places, only: str | None = None) -> list[QueuePair]:
    """All pairs, or that of one queue. Raises `ChatctlError` where an address is not known."""
    pairs = []
    for name in [only] if only else QUEUES:
        url, dead_url = places.queue_urls.get(name, ""), places.dead_queue_urls.get(name, "")
        if not url or not dead_url:
            raise ChatctlError(
                f"{places.source} does not say where the queue {name} and its dead are"
            )
        pairs.append(QueuePair(name, url, dead_url))
    return pairs


def depth(client: "SQSClient", url: str) -> Depth:
    """What is in a queue at this moment."""
    attributes = client.get_queue_attributes(
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


def arn(client: "SQSClient", url: str) -> str:
    """The queue's name for those calls of SQS that take no URL."""
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return attributes["Attributes"]["QueueArn"]
