"""What API Gateway answers itself has the shape of all errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.base_url, timeout=60) as client:
        yield client


def problem_of(answer: httpx.Response) -> Any:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == answer.status_code
    return body["type"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("PUT", "/applications"), ("POST", "/health")]
)
def test_a_path_or_a_method_that_is_not_there_is_a_problem(
    client: httpx.Client, method: str, path: str
) -> None:
    answer = client.request(method, path, headers={"Authorization": "Bearer ok_1_x"})
    assert problem_of(answer) == "urn:ordinal:problem:not-found"
    assert answer.status_code == 404


def test_a_function_that_does_not_answer_is_a_problem_that_says_when_to_come_again(
    stack: Stack, client: httpx.Client
) -> None:
    api = min(stack.file["functions"], key=len)  # the others have this name and their own
    stack.functions.put_function_concurrency(FunctionName=api, ReservedConcurrentExecutions=0)
    try:
        answer = client.get("/health")
    finally:
        stack.functions.delete_function_concurrency(FunctionName=api)
    assert problem_of(answer) == "urn:ordinal:problem:unavailable"
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert client.get("/health").status_code == 200
