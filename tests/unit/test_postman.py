"""The Postman collection covers the routes of the application."""

import json
import re
from pathlib import Path
from typing import Any

from app import app

FOLDER = Path(__file__).parents[2] / "docs/postman"
FOLDERS = json.loads((FOLDER / "ordinal.postman_collection.json").read_text())["item"]
ENVIRONMENT = json.loads((FOLDER / "ordinal.postman_environment.json").read_text())["values"]
REQUESTS: list[dict[str, Any]] = [item for folder in FOLDERS for item in folder["item"]]


def _pattern(path: str) -> str:
    """A path with every value and variable as `{}`."""
    return re.sub(r"{{?\w+}?}|(?<=/)\d+", "{}", path)


def test_the_folders_stand_in_the_order_in_which_they_are_run() -> None:
    assert [folder["name"] for folder in FOLDERS] == ["Setup", "Chats", "Messages", "Search"]


def test_every_route_has_a_request() -> None:
    sent = set()
    for item in REQUESTS:
        path = item["request"]["url"]["raw"].removeprefix("{{base_url}}").partition("?")[0]
        sent.add((item["request"]["method"], _pattern(path)))
    routes = {(m, _pattern(path)) for path, methods in app.routes.items() for m in methods}
    assert routes - sent == set()
    assert sent - routes == {("GET", "/nowhere")}


def test_every_request_asserts_something() -> None:
    for item in REQUESTS:
        scripts = [e["script"]["exec"] for e in item["event"] if e["listen"] == "test"]
        assert "pm.test(" in "".join(line for lines in scripts for line in lines), item["name"]


def test_no_secret_and_no_address_is_in_the_environment() -> None:
    assert {"base_url", "admin_key"} <= {variable["key"] for variable in ENVIRONMENT}
    assert not [variable["key"] for variable in ENVIRONMENT if variable["value"]]
