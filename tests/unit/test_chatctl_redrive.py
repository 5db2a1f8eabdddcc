"""Dead letters on moto. moto has no move tasks, so most tests move each record."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chalicelib.operators.errors import RedriveFailedError, RequestFailedError
from chalicelib.operators.queues import Depth, QueueWithDlq, arn, depth
from chalicelib.operators.redrive import peek, redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

RECORD = '{"v":1,"type":"messages","token":"t","chat":3,"messages":[{"number":%d},{"number":9}]}'


@pytest.fixture
def client() -> Iterator["SQSClient"]:
    with mock_aws():
        client: SQSClient = boto3.client(
            "sqs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        client.meta.events.register("before-call.sqs.StartMessageMoveTask", refuse)
        client.meta.events.register("before-call.sqs.ListMessageMoveTasks", refuse)
        yield client


def refuse(**_: Any) -> None:
    raise ClientError({"Error": {"Code": "InvalidAction", "Message": "no"}}, "StartMessageMoveTask")


@pytest.fixture
def queue(client: "SQSClient") -> QueueWithDlq:
    urls = [client.create_queue(QueueName=name)["QueueUrl"] for name in ("chats", "chats-dead")]
    return QueueWithDlq("chats", *urls)


def send_dead_letters(
    client: "SQSClient", queue: QueueWithDlq, count: int, **attributes: str
) -> None:
    for i in range(count):
        client.send_message(
            QueueUrl=queue.dlq_url,
            MessageBody=RECORD % i,
            MessageGroupId=f"tenant {i}",
            MessageAttributes={
                k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()
            },
        )


def bodies(client: "SQSClient", url: str) -> set[str]:
    bodies: set[str] = set()
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies |= {message["Body"] for message in messages}
    return bodies


def test_all_dead_letters_are_moved_one_by_one_if_sqs_starts_no_task(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    send_dead_letters(client, queue, 23)
    lines: list[str] = []
    assert redrive(client, queue, lines.append) == 23
    assert "SQS starts no move task (InvalidAction)" in lines[0]
    assert depth(client, queue.dlq_url) == Depth(0, 0, 0)
    assert bodies(client, queue.url) == {RECORD % i for i in range(23)}


def test_a_moved_record_has_the_same_group_and_attributes(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    send_dead_letters(client, queue, 1, reason="poison")
    redrive(client, queue, lambda text: None)
    (letter,) = client.receive_message(
        QueueUrl=queue.url,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["MessageGroupId"],
    )["Messages"]
    assert letter["Attributes"]["MessageGroupId"] == "tenant 0"
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "poison"


def test_a_record_that_dies_again_at_once_is_moved_once(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    send_dead_letters(client, queue, 15)

    def die_again(params: Any, **_: Any) -> None:
        if params["QueueUrl"] == queue.url:
            params["QueueUrl"] = queue.dlq_url

    client.meta.events.register("provide-client-params.sqs.SendMessage", die_again)
    assert redrive(client, queue, lambda text: None) == 15
    assert depth(client, queue.dlq_url).visible == 15


def test_a_record_that_cannot_be_sent_stays_a_dead_letter(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    send_dead_letters(client, queue, 1)
    client.meta.events.register("before-call.sqs.SendMessage", refuse)
    with pytest.raises(RequestFailedError, match="SQS: "):
        redrive(client, queue, lambda text: None)
    assert depth(client, queue.dlq_url).total == 1


class Tasks:
    """A fake of the move tasks of SQS: a task is started once, and it is finished after a while."""

    def __init__(self, client: "SQSClient", **result: Any) -> None:
        self.started: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self._result = result
        client.meta.events.unregister("before-call.sqs.StartMessageMoveTask", refuse)
        client.meta.events.unregister("before-call.sqs.ListMessageMoveTasks", refuse)
        client.meta.events.register(
            "provide-client-params.sqs.StartMessageMoveTask", self._record_start
        )
        start: Any = self._start
        listing: Any = self._list
        client.meta.events.register("before-call.sqs.StartMessageMoveTask", start)
        client.meta.events.register("before-call.sqs.ListMessageMoveTasks", listing)

    def _record_start(self, params: dict[str, Any], **_: Any) -> None:
        self.started.append(params)

    def _start(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        task = {"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 2, "StartedTimestamp": 9}
        self.results.append(task)
        return replied({"TaskHandle": "handle"})

    def _list(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return replied({"Results": list(self.results)})

    def finish(self, seconds: float) -> None:
        """Finish the newest task, in place of a pause."""
        self.results[-1] = {**self.results[-1], **self._result}


def replied(parsed: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    class Http:
        status_code = 200

    return Http(), {**parsed, "ResponseMetadata": {}}


DONE = {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 5}
OLD = {"Status": "FAILED", "StartedTimestamp": 1, "ApproximateNumberOfMessagesMoved": 1}


def test_a_move_task_is_started_and_followed_to_its_end(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    tasks = Tasks(client, **DONE)
    tasks.results.append(OLD)
    lines: list[str] = []
    assert redrive(client, queue, lines.append, tasks.finish) == 5
    source, target = arn(client, queue.dlq_url), arn(client, queue.url)
    assert tasks.started == [{"SourceArn": source, "DestinationArn": target}]
    assert lines == ["chats: 2 moved so far"]


def test_a_move_task_that_is_running_is_joined(client: "SQSClient", queue: QueueWithDlq) -> None:
    tasks = Tasks(client, **DONE)
    tasks.results.append({"Status": "RUNNING", "StartedTimestamp": 5})
    assert redrive(client, queue, lambda text: None, tasks.finish) == 5
    assert tasks.started == []


def test_a_failed_move_task_is_an_error_with_its_reason(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    tasks = Tasks(client, Status="FAILED", FailureReason="CouldNotDetermineMessageSource")
    with pytest.raises(RedriveFailedError, match="FAILED after 2: CouldNotDetermineMessageSource"):
        redrive(client, queue, lambda text: None, tasks.finish)


def test_peek_shows_records_and_reasons_and_moves_nothing(
    client: "SQSClient", queue: QueueWithDlq
) -> None:
    send_dead_letters(client, queue, 2, reason="the body is poison")
    client.send_message(QueueUrl=queue.dlq_url, MessageBody="what is this")
    lines = peek(client, queue, 20)
    assert len(lines) == 3
    assert any(
        "type messages, token t, chat 3, 2 messages (numbers 1 to 9)" in line
        and line.endswith("reason: the body is poison")
        for line in lines
    )
    assert any("unreadable: 'what is this'  reason: none" in line for line in lines)
    assert depth(client, queue.dlq_url) == Depth(3, 0, 0)
    assert depth(client, queue.url).total == 0


def test_peek_shows_no_more_than_its_limit(client: "SQSClient", queue: QueueWithDlq) -> None:
    send_dead_letters(client, queue, 14)
    assert len(peek(client, queue, 12)) == 12
    assert depth(client, queue.dlq_url).visible == 14
