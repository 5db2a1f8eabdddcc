"""The queues, each with its dead-letter queue."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.settings import QUEUES
from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

# At least six times the functions' timeout (30 s), as Lambda asks for.
VISIBILITY_TIMEOUT_SECONDS = 180
MAX_RECEIVE_COUNT = 12
# The longest that SQS has. In a dead-letter queue it counts from the first sending.
RETENTION_SECONDS = 14 * 24 * 3600
MAX_MESSAGE_BYTES = 1024 * 1024


def create_queues(settings: DeploySettings) -> dict[str, str]:
    """Make the queues, or bring those that are there up to date.

    Returns:
        Short name → URL: `messages` for `ordinal-<stage>-messages`, `messages-dead` for its
        dead-letter queue, and so on.
    """
    sqs = aws_client(settings, "sqs")
    urls: dict[str, str] = {}
    for queue in QUEUES:
        name = f"ordinal-{settings.stage}-{queue}"
        dead = _queue(
            sqs,
            f"{name}-dead",
            {
                "MessageRetentionPeriod": str(RETENTION_SECONDS),
                "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
            },
        )
        attributes = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        redrive = {
            "deadLetterTargetArn": attributes["Attributes"]["QueueArn"],
            "maxReceiveCount": str(MAX_RECEIVE_COUNT),
        }
        urls[queue] = _queue(
            sqs,
            name,
            {
                "MessageRetentionPeriod": str(RETENTION_SECONDS),
                "VisibilityTimeout": str(VISIBILITY_TIMEOUT_SECONDS),
                "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
                "RedrivePolicy": json.dumps(redrive),
            },
        )
        urls[f"{queue}-dead"] = dead
    return urls


def queue_variables(urls: dict[str, str]) -> dict[str, str]:
    """What the functions are told about the queues."""
    variables: dict[str, str] = {}
    for queue in QUEUES:
        variables[f"ORDINAL_{queue.upper()}_QUEUE_URL"] = urls[queue]
        variables[f"ORDINAL_{queue.upper()}_DEAD_QUEUE_URL"] = urls[f"{queue}-dead"]
    return variables


def _queue(sqs: Any, name: str, attributes: dict[str, str]) -> str:
    # Made bare and then set up: making a queue that exists with other attributes is an error.
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return url
