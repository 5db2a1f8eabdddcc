"""What the functions are told about the queues, which `infra/cloud/queues.yaml` makes."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.settings import QUEUES

# As in the template; the simulation plays by them too.
VISIBILITY_TIMEOUT_SECONDS = 181
MAX_RECEIVE_COUNT = 12
# What the template gives that the functions need.
OUTPUTS = tuple(f"{q.capitalize()}{dead}QueueUrl" for q in QUEUES for dead in ("", "Dead"))


def queue_urls(outputs: Mapping[str, str]) -> dict[str, str]:
    """Short name → URL: `messages` for `ordinal-<stage>-messages`, `messages-dead` for its dead letters."""
    urls: dict[str, str] = {}
    for queue in QUEUES:
        urls[queue] = outputs[f"{queue.capitalize()}QueueUrl"]
        urls[f"{queue}-dead"] = outputs[f"{queue.capitalize()}DeadQueueUrl"]
    return urls


def queue_variables(urls: Mapping[str, str]) -> dict[str, str]:
    """The part of the functions' environment that names the queues."""
    variables: dict[str, str] = {}
    for queue in QUEUES:
        variables[f"ORDINAL_{queue.upper()}_QUEUE_URL"] = urls[queue]
        variables[f"ORDINAL_{queue.upper()}_DEAD_QUEUE_URL"] = urls[f"{queue}-dead"]
    return variables
