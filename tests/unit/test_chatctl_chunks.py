"""Chunks of an import: every run makes the same chunks with the same keys."""

import msgspec

from chalicelib.domain.requests import BatchRequest, MessageRequest
from chatctl.sync_chat import MAX_BATCH_BYTES, chunks


def messages(count: int, body: str = "hello") -> list[MessageRequest]:
    return [MessageRequest(body=f"{body} {i}", sender="ann") for i in range(count)]


def test_a_chunk_holds_500_messages() -> None:
    parts = list(chunks(messages(1_201)))
    assert [(c.first, len(c.items)) for c in parts] == [(0, 500), (500, 500), (1_000, 201)]


def test_a_chunk_is_a_request_that_the_api_accepts() -> None:
    (chunk,) = chunks(messages(3))
    assert msgspec.json.decode(chunk.content(), type=BatchRequest).messages == messages(3)


def test_messages_of_many_bytes_are_in_smaller_chunks() -> None:
    parts = list(chunks(messages(500, body='"' * 10_000)))
    assert len(parts) > 1
    assert [m for c in parts for m in c.items] == list(
        map(msgspec.json.encode, messages(500, '"' * 10_000))
    )
    for chunk in parts:
        # API Gateway passes the body to Lambda as a JSON string, and Lambda accepts 6 MB.
        assert len(msgspec.json.encode(chunk.content().decode())) < 6_100_000
        assert len(chunk.content()) <= MAX_BATCH_BYTES + 100


def test_boundaries_do_not_move_when_messages_are_appended() -> None:
    short, long = list(chunks(messages(1_200))), list(chunks(messages(5_000)))
    assert long[:2] == short[:2]


def test_keys_are_the_same_in_every_run_and_differ_by_source_chat_position_and_content() -> None:
    (chunk,) = chunks(messages(3))
    (again,) = chunks(messages(3))
    (other,) = chunks(messages(3, body="bye"))
    key = chunk.idempotency_key("a.txt", 1)
    assert again.idempotency_key("a.txt", 1) == key
    others = {
        chunk.idempotency_key("b.txt", 1),
        chunk.idempotency_key("a.txt", 2),
        chunk.remaining_after(1).idempotency_key("a.txt", 1),
        other.idempotency_key("a.txt", 1),
    }
    assert len(others | {key}) == 5


def test_the_rest_of_a_chunk_follows_the_messages_that_the_chat_has() -> None:
    _, second = chunks(messages(6), max_messages=3)
    assert second.remaining_after(0) == second.remaining_after(3) == second
    assert (second.remaining_after(4).first, second.remaining_after(4).items) == (
        4,
        second.items[1:],
    )
    assert second.remaining_after(6).items == second.remaining_after(99).items == ()
