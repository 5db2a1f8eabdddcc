"""The error that the client raises for each refusal, and its text."""

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
        side.call("get_chat", 1)
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
def test_an_error_is_retryable_if_its_remedy_is_to_send_the_request_again(code: str) -> None:
    problem = PROBLEMS[code]
    error = ProblemError(problem.status, TYPE_PREFIX + code)
    if code != "conflict":  # not the same request: others have changed what it is about
        assert error.retryable == problem.remedy.startswith("Send the request again")


@BOTH
def test_a_refusal_has_every_field_of_the_problem(kind: str) -> None:
    violations = [
        {"pointer": "/body", "rule": "is missing"},
        {"pointer": "/x", "rule": "is not known"},
    ]
    problem = {
        "type": "urn:ordinal:problem:invalid-request",
        "title": "The request breaks a rule",
        "status": 422,
        "detail": "/body: is missing (and 1 more)",
        "errors": violations,
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
    ("response", "text"),
    [
        ({"json": {"message": "Forbidden"}}, "403 Forbidden"),
        ({"text": "<html>no</html>"}, "403 <html>no</html>"),
        ({"content": b"\xff"}, "403 \N{REPLACEMENT CHARACTER}"),
        ({}, "403"),
    ],
)
def test_a_refusal_by_a_gateway_before_the_service_shows_its_text(
    kind: str, response: dict[str, Any], text: str
) -> None:
    assert str(raised_by(kind, httpx.Response(403, **response))) == text


@BOTH
@pytest.mark.parametrize("body", ["<html>", "{}", ""])
def test_a_success_that_is_not_from_the_service_is_an_unexpected_response(
    kind: str, body: str
) -> None:
    error = raised_by(kind, httpx.Response(200, text=body))
    assert isinstance(error, UnexpectedResponseError)
    assert f"the response from {URL}/applications/" in str(error)


@BOTH
def test_readiness_is_returned_also_if_a_service_is_down(kind: str) -> None:
    degraded = {"status": "degraded", "parts": {"redis": "unavailable"}}
    side = sides(lambda request: httpx.Response(503, json=degraded))[kind]
    assert side.call("get_readiness").parts == {"redis": "unavailable"}


@BOTH
def test_readiness_refused_by_a_gateway_is_an_error(kind: str) -> None:
    side = sides(lambda request: httpx.Response(503, text="no"), retries=AtOnce(1))[kind]
    with pytest.raises(ordinal_client.UnavailableError, match="503 no"):
        side.call("get_readiness")


@BOTH
def test_a_client_without_an_application_refuses_calls_that_require_it(kind: str) -> None:
    with pytest.raises(ValueError, match="without `application`"):
        sides(lambda request: httpx.Response(500), application="")[kind].call("get_chat", 1)


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
    async def call_after_leaving() -> None:
        async with AsyncClient(URL, "key") as client:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await client.get_health()

    asyncio.run(call_after_leaving())
