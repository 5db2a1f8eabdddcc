"""chatctl's retries, their budget, and the text of its errors."""

from collections.abc import Callable

import httpx
import pytest
from click.testing import CliRunner, Result
from ordinal_client import (
    Client,
    InvalidRequestError,
    NewMessage,
    ProblemError,
    UnavailableError,
)

from chatctl import api
from chatctl.api import RetryBudget
from chatctl.errors import GaveUpError, StoppedError
from chatctl.main import cli
from tests.fakes.ports import SETTINGS
from tests.unit.chatctl_service import URL, Operator

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(monkeypatch)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_retryable_refusal_is_retried_after_the_time_that_the_service_names(
    operator: Operator, status: int
) -> None:
    operator.service.fail = lambda n: status if n < 6 else None
    client = operator.chatctl_client(limit_seconds=600)
    assert client.get_application().name == "an application"
    assert len(operator.pauses) == 6
    assert all(7 <= pause <= 7 + 8 for pause in operator.pauses)


def test_a_run_ends_if_no_request_has_succeeded_for_the_time_limit(operator: Operator) -> None:
    operator.service.fail = lambda n: "before"
    with pytest.raises(GaveUpError, match="after 60 s without progress: ConnectError: made up"):
        operator.chatctl_client().get_application()
    assert sum(operator.pauses) <= 60


def test_only_long_waits_are_shown_to_the_operator() -> None:
    lines: list[str] = []
    budget = RetryBudget(clock=lambda: 0, wait=lambda seconds: False, log=lines.append)
    attempts = budget.start()
    for _ in range(5):
        attempts.pause_seconds(ProblemError(503, retry_after_seconds=60))
    assert len(lines) == 2
    assert all(line.startswith("503; trying again in 6") for line in lines)


def test_a_successful_request_renews_the_budget_of_all() -> None:
    now = 0.0
    budget = RetryBudget(60, clock=lambda: now, wait=lambda seconds: False)
    slow = budget.start()
    now = 59.0
    budget.start()  # another thread finished a request and starts its next one
    now = 100.0
    slow.pause_seconds(UnavailableError(503))
    now = 119.0
    with pytest.raises(GaveUpError):
        slow.pause_seconds(UnavailableError(503, retry_after_seconds=2))


def test_a_run_that_was_stopped_sends_nothing_more(operator: Operator) -> None:
    client = operator.chatctl_client()
    operator.budget.stop()
    with pytest.raises(StoppedError):
        client.get_application()
    assert operator.service.requests == []


def test_a_pause_ends_when_the_run_is_stopped() -> None:
    budget = RetryBudget()
    attempts = budget.start()
    budget.stop()
    with pytest.raises(StoppedError):
        attempts.pause_seconds(UnavailableError(503, retry_after_seconds=200))


def test_a_refusal_ends_a_request_at_once(operator: Operator) -> None:
    with pytest.raises(InvalidRequestError):
        operator.chatctl_client().create_messages(1, [NewMessage("")])
    assert (len(operator.service.requests), operator.pauses) == (1, [])


def export(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> Result:
    """`chatctl export` from a service that responds as the handler does."""

    def opened(base_url: str, key: str, token: str, retries: RetryBudget) -> Client:
        return Client(base_url, key, token, retries, httpx.MockTransport(handler))

    monkeypatch.setattr(api, "Client", opened)
    named = ("--application", "t", "--key", "k", "--base-url", "http://ordinal.test")
    return CliRunner().invoke(cli, ["export", *named])


@pytest.mark.parametrize(
    ("response", "line"),
    [
        (
            httpx.Response(
                422,
                json={
                    "title": "The request breaks a rule",
                    "detail": "/a: is missing (and 1 more)",
                    "errors": [
                        {"pointer": "/a", "rule": "is missing"},
                        {"pointer": "/b", "rule": "is not known"},
                    ],
                },
            ),
            "422 The request breaks a rule: /a: is missing (and 1 more) [/b: is not known]",
        ),
        (httpx.Response(403, json={"message": "Forbidden"}), "403 Forbidden"),
        (
            httpx.Response(200, text="<html>"),
            "the response from http://ordinal.test/applications/t/chats?after=0&limit=100 does not come from",
        ),
    ],
)
def test_an_error_of_the_client_is_the_error_of_the_command(
    monkeypatch: pytest.MonkeyPatch, response: httpx.Response, line: str
) -> None:
    result = export(monkeypatch, lambda request: response)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {line}")
    assert result.output.count("\n") == 1


def test_an_application_whose_response_was_lost_is_requested_again_with_its_key(
    operator: Operator,
) -> None:
    operator.service.fail = lambda n: "after" if n == 0 else None
    budget = RetryBudget(wait=lambda seconds: False)
    with Client(URL, SETTINGS.admin_key, retries=budget, transport=operator.service) as admin:
        assert admin.create_application("x").secret_key
    first, second = operator.service.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_lists_are_followed_over_pages_below_the_path_of_the_stage(operator: Operator) -> None:
    with operator.chatctl_client() as client:
        for number in range(1, 231):
            client.create_chat(f"chat {number}")
        assert [chat.number for chat in client.chats(after=0, limit=100)] == list(range(1, 231))
    assert {r.url.path.split("/")[1] for r in operator.service.requests} == {"stage"}
