"""Retries of the client: which requests, after which pauses, under which keys."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from ordinal_client import (
    ConflictError,
    ConnectionFailedError,
    OrdinalError,
    ProblemError,
    Retries,
    UnavailableError,
)
from ordinal_client.retries import BoundedAttempts

from tests.unit.client_sides import AtOnce, Side, sides

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
APPLICATION = {
    "token": "t",
    "name": "n",
    "chats_count": 0,
    "created_at": "2026-01-31T12:00:00.000Z",
}


def response(status: int, body: Any = None, **headers: str) -> Callable[..., httpx.Response]:
    return lambda request: httpx.Response(status, json=body, headers=headers)


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("made up", request=request)


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("made up", request=request)


IN_PROGRESS = response(409, {"type": "urn:ordinal:problem:request-in-progress", "title": "wait"})
CONFLICT = response(409, {"type": "urn:ordinal:problem:conflict", "title": "others"})


class Script:
    """Returns its responses in turn, and repeats the last one."""

    def __init__(self, *responses: Callable[..., httpx.Response]) -> None:
        self.responses = responses
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.responses[min(len(self.requests), len(self.responses)) - 1](request)

    def side(self, kind: str, attempts: int = 20) -> Side:
        return sides(self, retries=AtOnce(attempts))[kind]

    def keys(self) -> list[str]:
        return [request.headers["Idempotency-Key"] for request in self.requests]


@BOTH
@pytest.mark.parametrize(
    "failure",
    [broken, lost, IN_PROGRESS, *(response(status) for status in (429, 502, 503, 504))],
)
def test_a_request_that_may_succeed_later_is_resent_under_its_key(
    kind: str, failure: Callable[..., httpx.Response]
) -> None:
    script = Script(failure, failure, response(200, APPLICATION))
    assert script.side(kind).call("rename_application", "n").name == "n"
    assert len(script.keys()) == 3
    assert len(set(script.keys())) == 1
    assert UUID(script.keys()[0]).version == 4
    assert len({request.content for request in script.requests}) == 1


@BOTH
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 412, 422, 500])
def test_an_error_that_a_retry_cannot_help_is_raised_at_once(kind: str, status: int) -> None:
    script = Script(response(status))
    with pytest.raises(ProblemError) as extended:
        script.side(kind).call("get_application")
    assert (extended.value.status, len(script.requests)) == (status, 1)


@BOTH
def test_of_conflicts_only_a_request_in_progress_is_resent(kind: str) -> None:
    script = Script(CONFLICT)
    with pytest.raises(ConflictError):
        script.side(kind).call("delete_message", 1, 2)
    assert len(script.requests) == 1


@BOTH
def test_the_last_failure_is_raised_when_the_attempts_are_used_up(kind: str) -> None:
    with pytest.raises(UnavailableError):
        Script(broken, response(503)).side(kind, attempts=4).call("get_application")
    with pytest.raises(ConnectionFailedError, match="ReadTimeout: made up"):
        Script(response(503), lost).side(kind, attempts=4).call("get_application")


@BOTH
@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("create_application", ["n"]),
        ("rename_application", ["n"]),
        ("delete_application", []),
        ("rotate_key", [60]),
        ("create_chat", []),
        ("edit_chat", [1]),
        ("delete_chat", [1]),
        ("create_message", [1, "hi"]),
        ("create_messages", [1, []]),
        ("edit_message", [1, 2]),
        ("delete_message", [1, 2]),
    ],
)
def test_every_change_has_its_own_key_or_that_of_the_caller(
    kind: str, method: str, args: list[Any]
) -> None:
    script = Script(response(404))
    for kwargs in ({}, {}, {"idempotency_key": "mine"}):
        with pytest.raises(ProblemError):
            script.side(kind).call(method, *args, **kwargs)
    first, second, third = script.keys()
    assert first != second
    assert third == "mine"


def unavailable(retry_after_seconds: float = 0.0) -> OrdinalError:
    return ProblemError(503, retry_after_seconds=retry_after_seconds)


def longest(low: float, high: float) -> float:
    return high


def test_pauses_grow_and_are_drawn_from_nothing_up_to_their_length() -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    attempts = BoundedAttempts(Retries(attempts=9), lambda: 0.0, draw)
    assert [attempts.pause_seconds(unavailable()) for _ in range(8)] == [0.0] * 8
    assert drawn == [(0.0, high) for high in (0.25, 0.5, 1, 2, 4, 8, 16, 16)]


def test_no_attempt_is_sooner_than_retry_after() -> None:
    attempts = BoundedAttempts(Retries(), lambda: 0.0, lambda low, high: low)
    assert attempts.pause_seconds(unavailable(retry_after_seconds=7)) == 7


def test_attempts_are_counted() -> None:
    attempts = BoundedAttempts(Retries(attempts=3), lambda: 0.0, longest)
    attempts.pause_seconds(unavailable())
    attempts.pause_seconds(unavailable())
    with pytest.raises(ProblemError):
        attempts.pause_seconds(unavailable())


def test_no_attempt_starts_after_the_time_limit() -> None:
    now = 100.0
    attempts = BoundedAttempts(Retries(seconds=10), lambda: now, longest)
    now = 109.0
    attempts.pause_seconds(unavailable())
    with pytest.raises(ProblemError):
        attempts.pause_seconds(unavailable(retry_after_seconds=1))


def test_a_retry_after_that_is_a_date_is_ignored() -> None:
    script = Script(response(503, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    with pytest.raises(UnavailableError) as extended:
        script.side("sync", attempts=1).call("get_application")
    assert extended.value.retry_after_seconds == 0


@BOTH
def test_by_default_a_retry_after_beyond_the_time_limit_ends_the_retries(
    kind: str,
) -> None:
    script = Script(response(503, **{"Retry-After": "61"}))
    with pytest.raises(UnavailableError) as extended:
        sides(script)[kind].call("get_application")
    assert (extended.value.retry_after_seconds, len(script.requests)) == (61, 1)
