"""The functions' rights to the index and to secrets, held against the requests that the adapters send.

LocalStack has neither of them as AWS has: so what is sent is noted where it leaves, and each policy must
allow just that.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch, Transport

from chalicelib.adapters.aws import Service
from chalicelib.adapters.opensearch.index import OpenSearchIndex
from chalicelib.adapters.opensearch.migrate import migrate
from chalicelib.adapters.secrets import secret
from chalicelib.bootstrap import reveal
from chalicelib.domain.query_text import parse_query
from chalicelib.domain.records import Document
from chalicelib.domain.search import Query
from chalicelib.settings import Settings
from tests.contract.conftest import part_url
from tests.contract.states import message
from tests.unit.test_functions import FUNCTIONS, listed, statements

TOKEN = "a" * 30
WORD = Query(token=TOKEN, chat=None, terms=parse_query("hello"), limit=1)
# Which secret each setting names in production (infra/deploy/environment.py), by the functions that read it.
STORES = ("redis_password", "mysql_password")
READS = {
    "api_handler": (*STORES, "master_key", "admin_key"),
    "accept_inbox": STORES,
    "persist_chats": STORES,
    "persist_messages": STORES,
    "index_messages": (),
    "repair_pending": STORES,
    "migrate": ("mysql_password", "mysql_owner"),
}

type Request = tuple[str, str]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Method and path of each request to OpenSearch, in order."""
    noted: list[Request] = []
    real = Transport.perform_request

    def note(self: Transport, method: str, url: str, *rest: Any, **more: Any) -> Any:
        noted.append((method, url))
        return real(self, method, url, *rest, **more)

    monkeypatch.setattr(Transport, "perform_request", note)
    return noted


@pytest.fixture
def alias() -> Iterator[str]:
    name = f"rights-{secrets.token_hex(6)}"
    yield name
    with OpenSearch(part_url("opensearch")) as client:
        client.indices.delete(index=f"{name}-v*")


def work_of_the_api(index: OpenSearchIndex) -> None:
    index.search(WORD)
    index.ping()


def work_of_the_index_worker(index: OpenSearchIndex) -> None:
    index.index([Document(token=TOKEN, chat=1, message=message(1))])
    index.purge(TOKEN, 1)


@pytest.mark.parametrize(
    ("function", "work"),
    [("api_handler", work_of_the_api), ("index_messages", work_of_the_index_worker)],
)
def test_a_function_may_ask_the_index_for_what_it_asks_and_for_nothing_else(
    function: str, work: Callable[[OpenSearchIndex], None], alias: str, sent: list[Request]
) -> None:
    migrate(part_url("opensearch"), alias)
    sent.clear()
    work(OpenSearchIndex(part_url("opensearch"), alias))
    assert {as_right(*one, alias) for one in sent} == rights(function, "es:")


def test_the_migration_may_put_the_index_and_look_whether_it_is_there(
    alias: str, sent: list[Request]
) -> None:
    migrate(part_url("opensearch"), alias)
    migrate(part_url("opensearch"), alias)
    seen = {as_right(*one, alias) for one in sent}
    allowed = rights("migrate", "es:")
    assert {(action, re.sub(r"-v\d+$", "-v*", path)) for action, path in seen} == allowed


def test_nobody_else_may_ask_the_index() -> None:
    users = {function for function in FUNCTIONS if rights(function, "es:")}
    assert users == {"api_handler", "index_messages", "migrate"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_read_the_secrets_of_its_settings_and_no_others(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def note(self: Service, action: str, request: dict[str, Any]) -> dict[str, Any]:
        asked.append((f"{self._name}:{action}", request["SecretId"]))
        return {"SecretString": "text"}

    monkeypatch.setattr(Service, "call", note)
    secret.cache_clear()
    arns = {
        name: f"arn:aws:secretsmanager:x:1:secret:{secret_of(name)}" for name in READS[function]
    }
    settings = Settings(**arns, reveal=reveal)
    for name in READS[function]:
        assert settings.need(name) == "text"
    secret.cache_clear()
    assert set(asked) == {
        (action, f"arn:aws:secretsmanager:x:1:secret:{name}")
        for action, name in rights(function, "secretsmanager:")
    }
    # What reads a secret decrypts it, with the key of this stage and on the way through its manager only.
    assert bool(rights(function, "kms:")) == bool(READS[function])


def secret_of(setting: str) -> str:
    """As the policies have it, without what they leave open."""
    if setting == "mysql_owner":
        return "rds!db-*"
    return f"ordinal-STAGE-{setting.replace('_', '-')}-??????"


def as_right(method: str, url: str, alias: str) -> tuple[str, str]:
    return f"es:ESHttp{method.capitalize()}", url.removeprefix("/").replace(alias, "messages")


def rights(function: str, service: str) -> set[tuple[str, str]]:
    """Action and what it is done to, without the place."""
    return {
        (action, re.sub(r"^.*:(secret:|domain/[^/]+/|key/)", "", resource))
        for one in statements(function)
        if one["Effect"] == "Allow"
        for action in listed(one["Action"])
        if action.startswith(service)
        for resource in listed(one["Resource"])
    }
