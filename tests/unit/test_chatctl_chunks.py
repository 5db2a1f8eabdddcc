"""Batches: stable boundaries, stable keys."""

import msgspec

from chalicelib.domain.requests import BatchRequest, MessageRequest
from chatctl.chunks import MAX_BATCH_BYTES, chunks


def messages(count: int, body: str = "hello") -> list[MessageRequest]:
    return [MessageRequest(body=f"{body} {i}", sender="ann") for i in range(count)]


def test_a_chunk_holds_500_messages() -> None:
    cut = list(chunks(messages(1_201)))
    assert [(c.first, len(c.items)) for c in cut] == [(0, 500), (500, 500), (1_000, 201)]


def test_a_chunk_is_a_request_that_the_api_takes() -> None:
    (chunk,) = chunks(messages(3))
    assert msgspec.json.decode(chunk.content(), type=BatchRequest).messages == messages(3)


def test_a_chunk_that_is_too_large_is_split_where_its_bytes_say() -> None:
    cut = list(chunks(messages(500, body='"' * 10_000)))
    assert len(cut) > 1
    assert [m for c in cut for m in c.items] == list(
        map(msgspec.json.encode, messages(500, '"' * 10_000))
    )
    for chunk in cut:
        # What API Gateway hands to Lambda: the body as a JSON string. 6 MB is what Lambda takes.
        assert len(msgspec.json.encode(chunk.content().decode())) < 6_100_000
        assert len(chunk.content()) <= MAX_BATCH_BYTES + 100


def test_boundaries_do_not_move_when_messages_are_appended() -> None:
    short, long = list(chunks(messages(1_200))), list(chunks(messages(5_000)))
    assert long[:2] == short[:2]


def test_keys_are_the_same_in_every_run_and_differ_by_source_chat_place_and_content() -> None:
    (chunk,) = chunks(messages(3))
    (again,) = chunks(messages(3))
    (other,) = chunks(messages(3, body="bye"))
    key = chunk.idempotency_key("a.txt", 1)
    assert again.idempotency_key("a.txt", 1) == key
    others = {
        chunk.idempotency_key("b.txt", 1),
        chunk.idempotency_key("a.txt", 2),
        chunk.behind(1).idempotency_key("a.txt", 1),
        other.idempotency_key("a.txt", 1),
    }
    assert len(others | {key}) == 5


def test_what_is_behind_the_messages_that_are_there() -> None:
    _, second = chunks(messages(6), most_messages=3)
    assert second.behind(0) == second.behind(3) == second
    assert (second.behind(4).first, second.behind(4).items) == (4, second.items[1:])
    assert second.behind(6).items == second.behind(99).items == ()
