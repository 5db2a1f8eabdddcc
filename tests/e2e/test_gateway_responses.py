"""The responses of API Gateway itself have the form of all errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.base_url, timeout=60) as client:
        yield client


def problem_type(response: httpx.Response) -> Any:
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == response.status_code
    return body["type"]


def test_the_base_url_ends_with_the_version_of_the_api(stack: Stack) -> None:
    assert stack.base_url.endswith("/v1")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("PUT", "/applications"), ("POST", "/health")]
)
def test_a_path_or_a_method_that_does_not_exist_is_a_problem(
    client: httpx.Client, method: str, path: str
) -> None:
    response = client.request(method, path, headers={"Authorization": "Bearer ok_1_x"})
    assert problem_type(response) == "urn:ordinal:problem:not-found"
    assert response.status_code == 404


def test_a_function_that_cannot_run_is_a_problem_with_a_time_to_retry(
    stack: Stack, client: httpx.Client
) -> None:
    api = min(stack.file["functions"], key=len)  # the names of the others start with this one
    stack.functions.put_function_concurrency(FunctionName=api, ReservedConcurrentExecutions=0)
    try:
        response = client.get("/health")
    finally:
        stack.functions.delete_function_concurrency(FunctionName=api)
    assert problem_type(response) == "urn:ordinal:problem:unavailable"
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert client.get("/health").status_code == 200
