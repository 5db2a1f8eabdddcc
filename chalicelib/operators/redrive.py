"""Dead letters: show them, and move them back to their queue.

SQS moves them itself (`StartMessageMoveTask`). If it refuses to, this module receives, sends and deletes
each dead letter. It sends before it deletes: if it is killed in between, both queues have the record, which
is harmless, because workers may get a record twice.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.times import rfc3339
from chalicelib.operators.errors import RedriveFailedError, reported_as
from chalicelib.operators.queues import QueueWithDlq, arn, depth

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import ListMessageMoveTasksResultEntryTypeDef as Task
    from mypy_boto3_sqs.type_defs import MessageTypeDef, SendMessageRequestTypeDef

_LETTERS_A_CALL = 10
# Long enough to send and delete ten. If the run is killed, other readers see the letters soon.
_REDRIVE_VISIBILITY_SECONDS = 60
# `peek` makes the letters visible at its end. This is for a run that is killed before.
_PEEK_VISIBILITY_SECONDS = 30
_POLL_SECONDS = 1.0
_SHOWN_CHARS = 80
_NO_REASON = "none (it was received too often)"

Log = Callable[[str], None]
Wait = Callable[[float], None]


# --- show


@reported_as("SQS", BotoCoreError, ClientError)
def peek(sqs: "SQSClient", queue: QueueWithDlq, limit: int) -> list[str]:
    """A line for each of the first dead letters: since when, what it is about, and why it died.

    Raises `RequestFailedError`.
    """
    received: dict[str, MessageTypeDef] = {}
    try:
        for letter in _receive(sqs, queue, limit):
            received[letter["MessageId"]] = letter
    finally:
        for letter in received.values():
            sqs.change_message_visibility(
                QueueUrl=queue.dlq_url, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=0
            )
    return [_line(letter) for letter in received.values()]


def _receive(sqs: "SQSClient", queue: QueueWithDlq, limit: int) -> "Iterator[MessageTypeDef]":
    received = 0
    while received < limit:
        letters = sqs.receive_message(
            QueueUrl=queue.dlq_url,
            MaxNumberOfMessages=min(_LETTERS_A_CALL, limit - received),
            VisibilityTimeout=_PEEK_VISIBILITY_SECONDS,
            MessageAttributeNames=["reason"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        if not letters:
            return
        received += len(letters)
        yield from letters


def _line(letter: "MessageTypeDef") -> str:
    sent_at = rfc3339(int(letter.get("Attributes", {}).get("SentTimestamp", "0")))
    attributes = letter.get("MessageAttributes", {})
    reason = attributes["reason"].get("StringValue", "") if "reason" in attributes else _NO_REASON
    return f"{sent_at}  {_subject(letter['Body'])}  reason: {reason}"


def _subject(body: str) -> str:
    """What a record is about, without the text of users; the first characters if it is not JSON."""
    try:
        record: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"unreadable: {body[:_SHOWN_CHARS]!r}"
    parts = [f"{field} {record[field]}" for field in ("type", "token", "chat") if field in record]
    for field in ("chats", "messages", "documents"):
        if isinstance(items := record.get(field), list):
            parts.append(f"{len(items)} {field}{_numbers(items)}")
    return ", ".join(parts) or "a record of no known type"


def _numbers(items: list[Any]) -> str:
    """The numbers of the messages or chats of a record. Documents have none: they are of several chats."""
    numbers = [item["number"] for item in items if isinstance(item, dict) and "number" in item]
    if not numbers:
        return ""
    first, last = min(numbers), max(numbers)
    return f" (number {first})" if first == last else f" (numbers {first} to {last})"


# --- move


@reported_as("SQS", BotoCoreError, ClientError)
def redrive(sqs: "SQSClient", queue: QueueWithDlq, log: Log, wait: Wait = time.sleep) -> int:
    """Move the dead letters that the dead-letter queue holds now. Returns how many were moved.

    Raises `RequestFailedError`, `RedriveFailedError`.
    """
    try:
        _start_task(sqs, queue)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        log(f"{queue.name}: SQS starts no move task ({code}); moving each record instead")
        return _move_each(sqs, queue, log)
    return _follow_task(sqs, queue, log, wait)


def _start_task(sqs: "SQSClient", queue: QueueWithDlq) -> None:
    """Start a move task, or join the one that runs: SQS allows one for each queue."""
    source, target = arn(sqs, queue.dlq_url), arn(sqs, queue.url)
    newest = _newest_task(sqs, source)
    if newest is None or newest.get("Status") != "RUNNING":
        sqs.start_message_move_task(SourceArn=source, DestinationArn=target)


def _follow_task(sqs: "SQSClient", queue: QueueWithDlq, log: Log, wait: Wait) -> int:
    source = arn(sqs, queue.dlq_url)
    while task := _newest_task(sqs, source):
        moved = task.get("ApproximateNumberOfMessagesMoved", 0)
        status = task.get("Status", "")
        if status == "COMPLETED":
            return moved
        if status not in ("RUNNING", "CANCELLING"):
            reason = task.get("FailureReason", "")
            raise RedriveFailedError(
                f"{queue.name}: the move task ended {status} after {moved}: {reason}"
            )
        log(f"{queue.name}: {moved:,} moved so far")
        wait(_POLL_SECONDS)
    raise RedriveFailedError(f"{queue.name}: SQS does not list the move task any more")


def _newest_task(sqs: "SQSClient", source_arn: str) -> "Task | None":
    tasks = sqs.list_message_move_tasks(SourceArn=source_arn, MaxResults=10).get("Results", [])
    return max(tasks, key=lambda task: task.get("StartedTimestamp", 0), default=None)


def _move_each(sqs: "SQSClient", queue: QueueWithDlq, log: Log) -> int:
    """Move at most as many as there are at the start: a record that dies again would never end it."""
    total, moved = depth(sqs, queue.dlq_url).visible, 0
    while moved < total:
        letters = sqs.receive_message(
            QueueUrl=queue.dlq_url,
            MaxNumberOfMessages=min(_LETTERS_A_CALL, total - moved),
            VisibilityTimeout=_REDRIVE_VISIBILITY_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["MessageGroupId"],
        ).get("Messages", [])
        if not letters:
            break
        for letter in letters:
            _move(sqs, queue, letter)
        moved += len(letters)
        log(f"{queue.name}: {moved:,} of {total:,} moved")
    return moved


def _move(sqs: "SQSClient", queue: QueueWithDlq, letter: "MessageTypeDef") -> None:
    request: SendMessageRequestTypeDef = {
        "QueueUrl": queue.url,
        "MessageBody": letter["Body"],
        "MessageAttributes": letter.get("MessageAttributes", {}),
    }
    if group := letter.get("Attributes", {}).get("MessageGroupId"):
        request["MessageGroupId"] = group
    sqs.send_message(**request)
    sqs.delete_message(QueueUrl=queue.dlq_url, ReceiptHandle=letter["ReceiptHandle"])
