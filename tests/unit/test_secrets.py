"""Secrets are read when they are needed, and once."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from chalicelib.adapters.aws import secret
from chalicelib.bootstrap import resolve_secret
from chalicelib.domain.errors import UnavailableError
from chalicelib.settings import Settings
from tests.fakes.moto_server import moto_server

NOWHERE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ordinal-test-master-key-aBcDeF"


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    secret.cache_clear()
    with moto_server() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield boto3.client("secretsmanager")
    secret.cache_clear()


def made(manager: Any, text: str) -> str:
    """The name of a new secret."""
    return str(manager.create_secret(Name="one", SecretString=text)["ARN"])


def test_a_setting_that_names_no_secret_is_unchanged() -> None:
    assert resolve_secret("ok_1_abc") == "ok_1_abc"


def test_a_secret_is_read_when_it_is_needed_and_not_before(manager: Any) -> None:
    settings = Settings.from_env({"ORDINAL_MASTER_KEY": NOWHERE}, resolve_secret)
    with pytest.raises(UnavailableError):
        settings.require("master_key")


def test_a_secret_is_read_once_in_the_life_of_a_process(manager: Any) -> None:
    name = made(manager, "a master key")
    settings = Settings.from_env({"ORDINAL_MASTER_KEY": name}, resolve_secret)
    assert settings.require("master_key") == "a master key"
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert settings.require("master_key") == "a master key"


def test_a_secret_that_could_not_be_read_is_read_again(manager: Any) -> None:
    with pytest.raises(UnavailableError):
        resolve_secret(NOWHERE)
    assert resolve_secret(made(manager, "text")) == "text"


def test_a_password_is_put_into_the_url_of_its_store(manager: Any) -> None:
    environment = {
        "ORDINAL_REDIS_URL": "rediss+cluster://ordinal@redis.example:6379/0",
        "ORDINAL_REDIS_PASSWORD": made(manager, "p@ss/wörd"),
        "ORDINAL_MYSQL_URL": "mysql://ordinal:known@mysql.example:3306/ordinal",
    }
    settings = Settings.from_env(environment, resolve_secret)
    host = "redis.example:6379/0"
    assert settings.url("redis") == f"rediss+cluster://ordinal:p%40ss%2Fw%C3%B6rd@{host}"
    assert settings.url("mysql") == environment["ORDINAL_MYSQL_URL"]
