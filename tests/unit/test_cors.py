"""Pages of another origin can call the API only if the setting allows their origin."""

from typing import Any

import pytest
from chalice.test import Client

from app import app
from chalicelib.entrypoints.http import problems
from chalicelib.entrypoints.http.cors import cors_headers, cors_of

ORIGIN = "https://chat.example"


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is read at import. This changes the objects that were made from it."""
    cors = cors_of(ORIGIN)
    monkeypatch.setattr(problems, "CORS", cors)
    for methods in app.routes.values():
        for route in methods.values():
            monkeypatch.setattr(route, "cors", cors)


def test_without_the_setting_no_other_origin_is_allowed() -> None:
    assert cors_of("") is None
    assert cors_headers(None) == {}
    with Client(app) as client:
        for response in (client.http.get("/health"), client.http.put("/health")):
            assert not [name for name in response.headers if name.startswith("Access-Control")]


def test_pages_may_send_and_read_the_headers_of_the_api() -> None:
    headers = cors_headers(cors_of(ORIGIN))
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    accepted = headers["Access-Control-Allow-Headers"].split(",")
    assert {"Authorization", "Content-Type", "Idempotency-Key", "If-Match"} <= set(accepted)
    exposed = headers["Access-Control-Expose-Headers"].split(",")
    assert {"ETag", "Location", "Retry-After", "Idempotency-Replayed"} <= set(exposed)


@pytest.mark.usefixtures("allowed")
def test_every_response_can_be_read_whichever_code_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(event: Any, get_response: Any) -> Any:
        raise ValueError

    with Client(app) as client:
        responses = {
            200: client.http.get("/health"),
            401: client.http.get("/applications"),
            405: client.http.put("/health"),
            415: client.http.post("/applications", headers={"Content-Type": "text/plain"}),
        }
        monkeypatch.setattr(
            app, "middleware_handlers", [*app.middleware_handlers, (broken, "http")]
        )
        responses[500] = client.http.get("/health")
    for status, response in responses.items():
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
