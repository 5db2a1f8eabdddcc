"""What a refusal is raised as, and how it reads."""

import asyncio
from typing import Any

import httpx
import ordinal_client
import pytest
from ordinal_client import (
    AsyncClient,
    Client,
    InvalidRequestError,
    OrdinalError,
    ProblemError,
    UnexpectedResponseError,
    Violation,
)

from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX
from tests.unit.client_sides import URL, AtOnce, sides

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


def raised_by(kind: str, response: httpx.Response) -> OrdinalError:
    side = sides(lambda request: response, retries=AtOnce(1))[kind]
    with pytest.raises(OrdinalError) as extended:
        side.ask("get_chat", 1)
    return extended.value


@BOTH
@pytest.mark.parametrize(
    ("status", "name"),
    [
        (401, "Unauthenticated"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "Conflict"),
        (410, "Gone"),
        (412, "RevisionMismatch"),
        (422, "InvalidRequest"),
        (429, "RateLimited"),
        (503, "Unavailable"),
        (500, "Problem"),
    ],
)
def test_each_status_has_its_error(kind: str, status: int, name: str) -> None:
    error = raised_by(kind, httpx.Response(status, json={}))
    assert type(error) is getattr(ordinal_client, f"{name}Error")
    assert isinstance(error, ProblemError)


@pytest.mark.parametrize("code", PROBLEMS)
def test_an_error_is_retryable_where_the_service_says_to_send_the_request_again(code: str) -> None:
    problem = PROBLEMS[code]
    error = ProblemError(problem.status, TYPE_PREFIX + code)
    if code != "conflict":  # not the same request: others have changed what it is about
        assert error.retryable == problem.remedy.startswith("Send the request again")


@BOTH
def test_a_refusal_has_all_that_the_service_said(kind: str) -> None:
    faults = [
        {"pointer": "/body", "rule": "is missing"},
        {"pointer": "/x", "rule": "is not known"},
    ]
    problem = {
        "type": "urn:ordinal:problem:invalid-request",
        "title": "The request breaks a rule",
        "status": 422,
        "detail": "/body: is missing (and 1 more)",
        "errors": faults,
        "a new field": 7,
    }
    error = raised_by(kind, httpx.Response(422, json=problem))
    assert isinstance(error, InvalidRequestError)
    assert (error.type, error.title, error.detail) == (
        problem["type"],
        problem["title"],
        problem["detail"],
    )
    assert error.errors == (Violation("/body", "is missing"), Violation("/x", "is not known"))
    assert str(error) == (
        "422 The request breaks a rule: /body: is missing (and 1 more) [/x: is not known]"
    )


@BOTH
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"json": {"message": "Forbidden"}}, "403 Forbidden"),
        ({"text": "<html>no</html>"}, "403 <html>no</html>"),
        ({"content": b"\xff"}, "403 \N{REPLACEMENT CHARACTER}"),
        ({}, "403"),
    ],
)
def test_what_something_before_the_service_says_is_shown(
    kind: str, answer: dict[str, Any], text: str
) -> None:
    assert str(raised_by(kind, httpx.Response(403, **answer))) == text


@BOTH
@pytest.mark.parametrize("body", ["<html>", "{}", ""])
def test_a_success_of_something_else_is_named_as_that(kind: str, body: str) -> None:
    error = raised_by(kind, httpx.Response(200, text=body))
    assert isinstance(error, UnexpectedResponseError)
    assert f"the response from {URL}/applications/" in str(error)


@BOTH
def test_readiness_is_an_answer_also_where_a_part_is_away(kind: str) -> None:
    away = {"status": "degraded", "parts": {"redis": "unavailable"}}
    side = sides(lambda request: httpx.Response(503, json=away))[kind]
    assert side.ask("get_readiness").parts == {"redis": "unavailable"}


@BOTH
def test_readiness_that_something_else_refuses_is_an_error(kind: str) -> None:
    side = sides(lambda request: httpx.Response(503, text="no"), retries=AtOnce(1))[kind]
    with pytest.raises(ordinal_client.UnavailableError, match="503 no"):
        side.ask("get_readiness")


@BOTH
def test_without_an_application_there_is_none_whose_chats_are_meant(kind: str) -> None:
    with pytest.raises(ValueError, match="without `application`"):
        sides(lambda request: httpx.Response(500), application="")[kind].ask("get_chat", 1)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_base_url_must_be_one(client: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        client("localhost:8000", "key")


def test_leaving_a_client_closes_it() -> None:
    with Client(URL, "key") as client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        client.get_health()


def test_leaving_an_async_client_closes_it() -> None:
    async def leave_and_ask() -> None:
        async with AsyncClient(URL, "key") as client:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await client.get_health()

    asyncio.run(leave_and_ask())
