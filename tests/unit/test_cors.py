"""Pages of another origin are let in where the setting says so, and nowhere else."""

from typing import Any

import pytest
from chalice.test import Client

from app import app
from chalicelib.entrypoints.http import problems
from chalicelib.entrypoints.http.cors import cors_headers, cors_of

ORIGIN = "https://chat.example"


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is read at import, so it is given to what was made of it."""
    cors = cors_of(ORIGIN)
    monkeypatch.setattr(problems, "CORS", cors)
    for methods in app.routes.values():
        for route in methods.values():
            monkeypatch.setattr(route, "cors", cors)


def test_no_other_origin_is_let_in_without_the_setting() -> None:
    assert cors_of("") is None
    assert cors_headers(None) == {}
    with Client(app) as client:
        for answer in (client.http.get("/health"), client.http.put("/health")):
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_clients_may_send_and_read_the_headers_that_they_need() -> None:
    headers = cors_headers(cors_of(ORIGIN))
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    taken = headers["Access-Control-Allow-Headers"].split(",")
    assert {"Authorization", "Content-Type", "Idempotency-Key", "If-Match"} <= set(taken)
    given = headers["Access-Control-Expose-Headers"].split(",")
    assert {"ETag", "Location", "Retry-After", "Idempotency-Replayed"} <= set(given)


@pytest.mark.usefixtures("allowed")
def test_every_answer_can_be_read_whoever_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(event: Any, get_response: Any) -> Any:
        raise ValueError

    with Client(app) as client:
        answers = {
            200: client.http.get("/health"),
            401: client.http.get("/applications"),
            405: client.http.put("/health"),
            415: client.http.post("/applications", headers={"Content-Type": "text/plain"}),
        }
        monkeypatch.setattr(
            app, "middleware_handlers", [*app.middleware_handlers, (broken, "http")]
        )
        answers[500] = client.http.get("/health")
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
