"""The headers that a browser requires before a page of another origin may use the API."""

import re

import httpx
import pytest

from app import app
from infra.local.paths import TEST_ORIGIN
from tests.e2e.conftest import Api, Application, Stack


@pytest.mark.parametrize("path", sorted(app.routes))
def test_every_route_responds_to_a_preflight_request(stack: Stack, path: str) -> None:
    for method in app.routes[path]:
        response = httpx.options(
            stack.base_url + re.sub(r"{\w+}", "1", path),
            headers={
                "Origin": TEST_ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
            },
        )
        assert response.status_code == 200, response.text
        assert response.headers["Access-Control-Allow-Origin"] == TEST_ORIGIN
        assert method in response.headers["Access-Control-Allow-Methods"].split(",")
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(",")
        assert {"authorization", "content-type", "idempotency-key", "if-match"} <= set(allowed)


def test_a_page_of_another_origin_can_read_every_response(
    stack: Stack, application: Application
) -> None:
    stranger = Api(stack.base_url, "ok_1_no")
    responses = {
        200: application("GET", application.path),
        401: stranger("GET", application.path),
        404: application("GET", "/nowhere"),
        415: application("POST", f"{application.path}/chats", **{"Content-Type": "text/plain"}),
        422: application("POST", f"{application.path}/chats", {"no": "field"}),
    }
    stranger.close()
    for status, response in responses.items():
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == TEST_ORIGIN
        exposed = response.headers["Access-Control-Expose-Headers"].split(",")
        assert {"ETag", "Location", "Retry-After", "RateLimit", "Idempotency-Replayed"} <= set(
            exposed
        )
