"""Moving dead letters back to the queue that they died on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chatctl.failures import ChatctlError
from chatctl.queue_pairs import QueuePair, arn, depth

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import ListMessageMoveTasksResultEntryTypeDef as Task
    from mypy_boto3_sqs.type_defs import MessageTypeDef, SendMessageRequestTypeDef

_LETTERS_A_CALL = 10
# Long enough to send and delete ten; short enough that a killed run's letters are soon seen again.
_HOLD_SECONDS = 60
_LOOK_EVERY_SECONDS = 1.0

Say = Callable[[str], None]
Wait = Callable[[float], None]


def redrive(client: "SQSClient", pair: QueuePair, say: Say, wait: Wait = time.sleep) -> int:
    """Move the dead letters that are there now. Returns how many were moved."""
    try:
        _start_task(client, pair)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        say(f"{pair.name}: no move task can be had ({code}): receive, send, delete instead")
        return _move_by_hand(client, pair, say)
    return _follow(client, pair, say, wait)


def _start_task(client: "SQSClient", pair: QueuePair) -> None:
    """Start a task, or join the one that is running: SQS allows one a queue."""
    source = arn(client, pair.dead_url)
    newest = _newest_task(client, source)
    if newest is None or newest.get("Status") != "RUNNING":
        client.start_message_move_task(SourceArn=source, DestinationArn=arn(client, pair.url))


def _follow(client: "SQSClient", pair: QueuePair, say: Say, wait: Wait) -> int:
    source = arn(client, pair.dead_url)
    while task := _newest_task(client, source):
        moved = task.get("ApproximateNumberOfMessagesMoved", 0)
        status = task.get("Status", "")
        if status == "COMPLETED":
            return moved
        if status not in ("RUNNING", "CANCELLING"):
            why = task.get("FailureReason", "")
            raise ChatctlError(f"{pair.name}: the move task ended {status} after {moved}: {why}")
        say(f"{pair.name}: {moved:,} moved so far")
        wait(_LOOK_EVERY_SECONDS)
    raise ChatctlError(f"{pair.name}: the move task is not listed any more")


def _newest_task(client: "SQSClient", source: str) -> "Task | None":
    tasks = client.list_message_move_tasks(SourceArn=source, MaxResults=10).get("Results", [])
    return max(tasks, key=lambda task: task.get("StartedTimestamp", 0), default=None)


def _move_by_hand(client: "SQSClient", pair: QueuePair, say: Say) -> int:
    """Sent before it is deleted: killed in between, a letter is in both queues, which is harmless.

    No more than were there at the start, or a letter that dies again at once would go round for ever.
    """
    there, moved = depth(client, pair.dead_url).visible, 0
    while moved < there:
        letters = client.receive_message(
            QueueUrl=pair.dead_url,
            MaxNumberOfMessages=min(_LETTERS_A_CALL, there - moved),
            VisibilityTimeout=_HOLD_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["MessageGroupId"],
        ).get("Messages", [])
        if not letters:
            break
        for letter in letters:
            _move_letter(client, pair, letter)
        moved += len(letters)
        say(f"{pair.name}: {moved:,} of {there:,} moved")
    return moved


def _move_letter(client: "SQSClient", pair: QueuePair, letter: "MessageTypeDef") -> None:
    request: SendMessageRequestTypeDef = {
        "QueueUrl": pair.url,
        "MessageBody": letter["Body"],
        "MessageAttributes": letter.get("MessageAttributes", {}),
    }
    if group := letter.get("Attributes", {}).get("MessageGroupId"):
        request["MessageGroupId"] = group
    client.send_message(**request)
    client.delete_message(QueueUrl=pair.dead_url, ReceiptHandle=letter["ReceiptHandle"])
