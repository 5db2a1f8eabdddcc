"""Dead letters, on moto: which has no move task, so that the way without one is taken."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from chatctl.failures import ChatctlError
from chatctl.peek import peek
from chatctl.queue_pairs import Depth, QueuePair, arn, depth
from chatctl.redrive import redrive

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
def pair(client: "SQSClient") -> QueuePair:
    urls = [client.create_queue(QueueName=name)["QueueUrl"] for name in ("chats", "chats-dead")]
    return QueuePair("chats", *urls)


def dead_letter(client: "SQSClient", pair: QueuePair, count: int, **attributes: str) -> None:
    for i in range(count):
        client.send_message(
            QueueUrl=pair.dead_url,
            MessageBody=RECORD % i,
            MessageGroupId=f"tenant {i}",
            MessageAttributes={
                k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()
            },
        )


def bodies(client: "SQSClient", url: str) -> set[str]:
    found: set[str] = set()
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found |= {message["Body"] for message in messages}
    return found


def test_all_dead_letters_are_moved_by_hand_where_there_is_no_move_task(
    client: "SQSClient", pair: QueuePair
) -> None:
    dead_letter(client, pair, 23)
    said: list[str] = []
    assert redrive(client, pair, said.append) == 23
    assert "no move task can be had (InvalidAction)" in said[0]
    assert depth(client, pair.dead_url) == Depth(0, 0, 0)
    assert bodies(client, pair.url) == {RECORD % i for i in range(23)}


def test_a_moved_letter_keeps_its_group_and_its_attributes(
    client: "SQSClient", pair: QueuePair
) -> None:
    dead_letter(client, pair, 1, reason="poison")
    redrive(client, pair, lambda text: None)
    (letter,) = client.receive_message(
        QueueUrl=pair.url,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["MessageGroupId"],
    )["Messages"]
    assert letter["Attributes"]["MessageGroupId"] == "tenant 0"
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "poison"


def test_a_letter_that_dies_again_at_once_does_not_go_round(
    client: "SQSClient", pair: QueuePair
) -> None:
    dead_letter(client, pair, 15)

    def die_again(params: Any, **_: Any) -> None:
        if params["QueueUrl"] == pair.url:
            params["QueueUrl"] = pair.dead_url

    client.meta.events.register("provide-client-params.sqs.SendMessage", die_again)
    assert redrive(client, pair, lambda text: None) == 15
    assert depth(client, pair.dead_url).visible == 15


def test_a_letter_is_kept_where_it_cannot_be_sent(client: "SQSClient", pair: QueuePair) -> None:
    dead_letter(client, pair, 1)
    client.meta.events.register("before-call.sqs.SendMessage", refuse)
    with pytest.raises(ClientError):
        redrive(client, pair, lambda text: None)
    assert depth(client, pair.dead_url).total == 1


class Tasks:
    """Move tasks as SQS runs them: started once, done after a while. botocore asks it instead."""

    def __init__(self, client: "SQSClient", **result: Any) -> None:
        self.started: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self._result = result
        client.meta.events.unregister("before-call.sqs.StartMessageMoveTask", refuse)
        client.meta.events.unregister("before-call.sqs.ListMessageMoveTasks", refuse)
        client.meta.events.register("provide-client-params.sqs.StartMessageMoveTask", self._note)
        start: Any = self._start
        listing: Any = self._list
        client.meta.events.register("before-call.sqs.StartMessageMoveTask", start)
        client.meta.events.register("before-call.sqs.ListMessageMoveTasks", listing)

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.started.append(params)

    def _start(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        task = {"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 2, "StartedTimestamp": 9}
        self.results.append(task)
        return answered({"TaskHandle": "handle"})

    def _list(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return answered({"Results": list(self.results)})

    def finish(self, seconds: float) -> None:
        """Time passes."""
        self.results[-1] = {**self.results[-1], **self._result}


def answered(parsed: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    class Http:
        status_code = 200

    return Http(), {**parsed, "ResponseMetadata": {}}


DONE = {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 5}
OLD = {"Status": "FAILED", "StartedTimestamp": 1, "ApproximateNumberOfMessagesMoved": 1}


def test_a_move_task_is_started_and_followed_to_its_end(
    client: "SQSClient", pair: QueuePair
) -> None:
    tasks = Tasks(client, **DONE)
    tasks.results.append(OLD)
    said: list[str] = []
    assert redrive(client, pair, said.append, tasks.finish) == 5
    source, target = arn(client, pair.dead_url), arn(client, pair.url)
    assert tasks.started == [{"SourceArn": source, "DestinationArn": target}]
    assert said == ["chats: 2 moved so far"]


def test_a_move_task_that_runs_already_is_joined(client: "SQSClient", pair: QueuePair) -> None:
    tasks = Tasks(client, **DONE)
    tasks.results.append({"Status": "RUNNING", "StartedTimestamp": 5})
    assert redrive(client, pair, lambda text: None, tasks.finish) == 5
    assert tasks.started == []


def test_a_move_task_that_fails_says_why(client: "SQSClient", pair: QueuePair) -> None:
    tasks = Tasks(client, Status="FAILED", FailureReason="CouldNotDetermineMessageSource")
    with pytest.raises(ChatctlError, match="FAILED after 2: CouldNotDetermineMessageSource"):
        redrive(client, pair, lambda text: None, tasks.finish)


def test_peeking_shows_what_died_and_why_and_moves_nothing(
    client: "SQSClient", pair: QueuePair
) -> None:
    dead_letter(client, pair, 2, reason="the body is poison")
    client.send_message(QueueUrl=pair.dead_url, MessageBody="what is this")
    lines = peek(client, pair, 20)
    assert len(lines) == 3
    assert any(
        "type messages, token t, chat 3, 2 messages (numbers 1 to 9)" in line
        and line.endswith("reason: the body is poison")
        for line in lines
    )
    assert any("unreadable: 'what is this'  reason: none" in line for line in lines)
    assert depth(client, pair.dead_url) == Depth(3, 0, 0)
    assert depth(client, pair.url).total == 0


def test_peeking_shows_no_more_than_asked_for(client: "SQSClient", pair: QueuePair) -> None:
    dead_letter(client, pair, 14)
    assert len(peek(client, pair, 12)) == 12
    assert depth(client, pair.dead_url).visible == 14
