"""The queues that `infra/cloud/queues.yaml` makes, and the environment variables that name them."""

from collections.abc import Mapping

from chalicelib.settings import QUEUES

# The values of the template. The simulation uses them as well.
VISIBILITY_TIMEOUT_SECONDS = 181
MAX_RECEIVE_COUNT = 300
# The outputs of the template that the functions need.
OUTPUTS = tuple(
    f"{queue.capitalize()}{kind}Url" for queue in QUEUES for kind in ("Queue", "DeadLetterQueue")
)


def queue_urls(outputs: Mapping[str, str]) -> dict[str, str]:
    """The URL of each queue by its short name: `messages` is `ordinal-<stage>-messages`.

    The dead-letter queue of `messages` is `messages-dead-letters`.
    """
    urls: dict[str, str] = {}
    for queue in QUEUES:
        urls[queue] = outputs[f"{queue.capitalize()}QueueUrl"]
        urls[f"{queue}-dead-letters"] = outputs[f"{queue.capitalize()}DeadLetterQueueUrl"]
    return urls


def queue_variables(urls: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the functions that name the queues."""
    variables: dict[str, str] = {}
    for queue in QUEUES:
        variables[f"ORDINAL_{queue.upper()}_QUEUE_URL"] = urls[queue]
        variables[f"ORDINAL_{queue.upper()}_DEAD_LETTER_QUEUE_URL"] = urls[f"{queue}-dead-letters"]
    return variables
