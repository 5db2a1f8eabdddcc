"""Where addresses come from, and which application an import goes into."""

import json
import stat
from pathlib import Path

import pytest

from chalicelib.settings import Settings
from chatctl.failures import ChatctlError
from chatctl.places import find_places
from chatctl.queue_pairs import queue_pairs
from chatctl.remembered import Credential, remember, remembered

QUEUES = [f"ordinal-local-{name}" for name in ("inbox", "chats", "messages", "search")]
STACK = {
    "stack": "local",
    "base_url": "http://127.0.0.1:4566/_aws/execute-api/x/api",
    "admin_key": "admin_1",
    "master_key": "m",
    "queues": {name: f"http://q/{name}" for q in QUEUES for name in (q, f"{q}-dead")},
    "redis": {"url": "redis://stack", "pid": 1},
    "mysql": {"url": "mysql://stack", "pid": None},
    "opensearch": {"url": "http://stack", "pid": 1},
    "aws": {"url": "http://127.0.0.1:4566", "pid": 1},
}
FROM_ENVIRONMENT = Settings.from_env(
    {
        "ORDINAL_REDIS_URL": "redis://environment",
        "ORDINAL_CHATS_QUEUE_URL": "http://e/chats",
        "ORDINAL_CHATS_DEAD_QUEUE_URL": "http://e/chats-dead",
    }
)


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    file = tmp_path / "stack.json"
    file.write_text(json.dumps(STACK))
    return file


def test_the_stack_file_names_everything(stack_file: Path) -> None:
    places = find_places(stack_file, Settings())
    assert (places.redis_url, places.mysql_url) == ("redis://stack", "mysql://stack")
    assert (places.require("base_url"), places.admin_key) == (STACK["base_url"], "admin_1")
    pairs = [(pair.name, pair.url, pair.dead_url) for pair in queue_pairs(places)]
    assert pairs[0] == (
        "inbox",
        "http://q/ordinal-local-inbox",
        "http://q/ordinal-local-inbox-dead",
    )
    assert len(pairs) == 4


def test_the_environment_goes_before_the_usual_stack_file() -> None:
    places = find_places(None, FROM_ENVIRONMENT)
    assert places.redis_url == "redis://environment"
    assert [pair.url for pair in queue_pairs(places, "chats")] == ["http://e/chats"]


def test_half_of_one_place_and_half_of_another_are_never_mixed(stack_file: Path) -> None:
    assert find_places(stack_file, FROM_ENVIRONMENT).redis_url == "redis://stack"
    places = find_places(None, FROM_ENVIRONMENT)
    with pytest.raises(
        ChatctlError, match=r"the environment .* does not say what the mysql_url is"
    ):
        places.require("mysql_url")
    with pytest.raises(ChatctlError, match="does not say where the queue inbox"):
        queue_pairs(places)


def test_neither_environment_nor_stack_file_is_said_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChatctlError, match="is the stack up"):
        find_places(None, Settings())
    with pytest.raises(ChatctlError, match="No such file"):
        find_places(tmp_path / "none.json", Settings())
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ChatctlError, match="is not a stack file"):
        find_places(tmp_path / "broken.json", Settings())


def test_what_is_remembered_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "var" / "chatctl.json"
    remember(file, "http://a/1", "logs", Credential("t", "k"))
    remember(file, "http://a/1", "more", Credential("u", "l"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert remembered(file, "http://a/1", "logs") == [Credential("t", "k")]
    assert remembered(file, "http://a/1", "none") == []


def test_another_path_of_the_same_host_may_be_the_same_service(tmp_path: Path) -> None:
    file = tmp_path / "chatctl.json"
    for path, token in (("1", "old"), ("2", "newer"), ("3", "exact")):
        remember(file, f"http://a:1/{path}", "logs", Credential(token, "k"))
    remember(file, "http://b:1/1", "logs", Credential("another host", "k"))
    found = [c.token for c in remembered(file, "http://a:1/3", "logs")]
    assert found == ["exact", "newer", "old"]
    assert [c.token for c in remembered(file, "https://a:1/3", "logs")] == []
