"""What a browser asks and needs before it lets a page of another origin use the API."""

import re

import httpx
import pytest

from app import app
from infra.local.paths import TEST_ORIGIN
from tests.e2e.conftest import Api, Application, Stack


@pytest.mark.parametrize("path", sorted(app.routes))
def test_every_route_answers_the_question_that_browsers_ask_first(stack: Stack, path: str) -> None:
    for method in app.routes[path]:
        answer = httpx.options(
            stack.base_url + re.sub(r"{\w+}", "1", path),
            headers={
                "Origin": TEST_ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
            },
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == TEST_ORIGIN
        assert method in answer.headers["Access-Control-Allow-Methods"].split(",")
        taken = answer.headers["Access-Control-Allow-Headers"].lower().split(",")
        assert {"authorization", "content-type", "idempotency-key", "if-match"} <= set(taken)


def test_a_page_can_read_every_answer(stack: Stack, application: Application) -> None:
    stranger = Api(stack.base_url, "ok_1_no")
    answers = {
        200: application("GET", application.path),
        401: stranger("GET", application.path),
        404: application("GET", "/nowhere"),
        415: application("POST", f"{application.path}/chats", **{"Content-Type": "text/plain"}),
        422: application("POST", f"{application.path}/chats", {"no": "field"}),
    }
    stranger.close()
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == TEST_ORIGIN
        given = answer.headers["Access-Control-Expose-Headers"].split(",")
        assert {"ETag", "Location", "Retry-After", "RateLimit", "Idempotency-Replayed"} <= set(
            given
        )
