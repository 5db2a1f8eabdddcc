"""Looking at dead letters without moving them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.domain.times import rfc3339
from chatctl.queue_pairs import QueuePair

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_LETTERS_A_CALL = 10
# They are given back at the end; this is for a run that is killed before.
_HOLD_SECONDS = 30
_SHOWN_CHARS = 80
_NO_REASON = "none (it was received too often)"


def peek(client: "SQSClient", pair: QueuePair, most: int) -> list[str]:
    """A line for each of the first dead letters: since when, of what, and why."""
    held: dict[str, MessageTypeDef] = {}
    try:
        for letter in _receive(client, pair, most):
            held[letter["MessageId"]] = letter
    finally:
        for letter in held.values():
            client.change_message_visibility(
                QueueUrl=pair.dead_url, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=0
            )
    return [_line(letter) for letter in held.values()]


def _receive(client: "SQSClient", pair: QueuePair, most: int) -> "Iterator[MessageTypeDef]":
    received = 0
    while received < most:
        letters = client.receive_message(
            QueueUrl=pair.dead_url,
            MaxNumberOfMessages=min(_LETTERS_A_CALL, most - received),
            VisibilityTimeout=_HOLD_SECONDS,
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
    """What the record is about, without what people wrote; the beginning where it cannot be read."""
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
    """The numbers of its messages or chats; documents of several chats have none to show."""
    numbers = [item["number"] for item in items if isinstance(item, dict) and "number" in item]
    if not numbers:
        return ""
    first, last = min(numbers), max(numbers)
    return f" (number {first})" if first == last else f" (numbers {first} to {last})"
