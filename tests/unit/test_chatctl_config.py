"""The sources of addresses, and the application that an import finds in the state file."""

import json
import stat
from pathlib import Path

import pytest

from chalicelib.settings import Settings
from chatctl.config import Credential, load_credentials, load_targets, save_credential
from chatctl.errors import ConfigError

QUEUES = [f"ordinal-local-{name}" for name in ("inbox", "chats", "messages", "search")]
STACK = {
    "stack": "local",
    "base_url": "http://127.0.0.1:4566/_aws/execute-api/x/api",
    "admin_key": "admin_1",
    "master_key": "m",
    "queues": {name: f"http://q/{name}" for q in QUEUES for name in (q, f"{q}-dead-letters")},
    "redis": {"url": "redis://stack", "pid": 1},
    "mysql": {"url": "mysql://stack", "pid": None},
    "opensearch": {"url": "http://stack", "pid": 1},
    "aws": {"url": "http://127.0.0.1:4566", "pid": 1},
}
FROM_ENVIRONMENT = Settings.from_env(
    {
        "ORDINAL_REDIS_URL": "redis://environment",
        "ORDINAL_CHATS_QUEUE_URL": "http://e/chats",
        "ORDINAL_CHATS_DEAD_LETTER_QUEUE_URL": "http://e/chats-dead",
    }
)


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    file = tmp_path / "stack.json"
    file.write_text(json.dumps(STACK))
    return file


def test_the_stack_file_names_everything(stack_file: Path) -> None:
    targets = load_targets(stack_file, Settings())
    assert (targets.redis_url, targets.mysql_url) == ("redis://stack", "mysql://stack")
    assert (targets.require("base_url"), targets.admin_key) == (STACK["base_url"], "admin_1")
    queues = [(queue.name, queue.url, queue.dlq_url) for queue in targets.queues()]
    assert queues[0] == (
        "inbox",
        "http://q/ordinal-local-inbox",
        "http://q/ordinal-local-inbox-dead-letters",
    )
    assert len(queues) == 4


def test_the_environment_comes_before_the_default_stack_file() -> None:
    targets = load_targets(None, FROM_ENVIRONMENT)
    assert targets.redis_url == "redis://environment"
    assert [queue.url for queue in targets.queues("chats")] == ["http://e/chats"]


def test_addresses_of_the_environment_and_of_a_file_are_never_mixed(stack_file: Path) -> None:
    assert load_targets(stack_file, FROM_ENVIRONMENT).redis_url == "redis://stack"
    targets = load_targets(None, FROM_ENVIRONMENT)
    with pytest.raises(ConfigError, match=r"the environment .* does not name the mysql_url"):
        targets.require("mysql_url")
    with pytest.raises(ConfigError, match=r"the environment .*: the URL of the queue inbox"):
        targets.queues()


def test_a_missing_or_broken_configuration_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is the stack up"):
        load_targets(None, Settings())
    with pytest.raises(ConfigError, match="No such file"):
        load_targets(tmp_path / "none.json", Settings())
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a stack file"):
        load_targets(tmp_path / "broken.json", Settings())


def test_only_its_owner_can_read_the_state_file(tmp_path: Path) -> None:
    file = tmp_path / "var" / "chatctl.json"
    save_credential(file, "http://a/1", "logs", Credential("t", "k"))
    save_credential(file, "http://a/1", "more", Credential("u", "l"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_credentials(file, "http://a/1", "logs") == [Credential("t", "k")]
    assert load_credentials(file, "http://a/1", "none") == []


def test_another_path_of_the_same_host_may_be_the_same_service(tmp_path: Path) -> None:
    file = tmp_path / "chatctl.json"
    for path, token in (("1", "old"), ("2", "newer"), ("3", "exact")):
        save_credential(file, f"http://a:1/{path}", "logs", Credential(token, "k"))
    save_credential(file, "http://b:1/1", "logs", Credential("another host", "k"))
    tokens = [c.token for c in load_credentials(file, "http://a:1/3", "logs")]
    assert tokens == ["exact", "newer", "old"]
    assert [c.token for c in load_credentials(file, "https://a:1/3", "logs")] == []
