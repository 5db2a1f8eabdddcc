"""The errors of operators' work. Each has one sentence for the operator.

OperatorError                  the base
 ├─ NoSuchApplicationError     the application does not exist
 ├─ UnknownQueueError          the URL of a queue or of its dead-letter queue is missing
 ├─ RequestFailedError         Redis or SQS refused a request or did not respond
 ├─ RedriveFailedError         SQS stopped moving dead letters
 └─ ReindexRunningError        another process runs a reindex

MySQL and OpenSearch raise the errors of `chalicelib.domain.errors`.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class OperatorError(Exception):
    """The work cannot go on, for the reason that is its message."""


class NoSuchApplicationError(OperatorError):
    """There is no application with this token."""


class UnknownQueueError(OperatorError):
    """The URL of a queue or of its dead-letter queue is missing."""


class RequestFailedError(OperatorError):
    """Redis or SQS refused a request or did not respond."""


class RedriveFailedError(OperatorError):
    """SQS stopped moving dead letters before all were moved."""


class ReindexRunningError(OperatorError):
    """Another process runs a reindex; two at once would disturb each other."""


@contextmanager
def reported_as(service: str, *vendor_errors: type[Exception]) -> Iterator[None]:
    """Raise a vendor's errors as `RequestFailedError`, with the name of the service."""
    try:
        yield
    except vendor_errors as error:
        raise RequestFailedError(f"{service}: {error}") from error
